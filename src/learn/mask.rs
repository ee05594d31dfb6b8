//! Feature masks: equation (1), g_i = 1 with probability θ_i, one draw per batch over the whole embedding.
//!
//! θ is the sigmoid of a free parameter. Two gates are offered:
//!
//! * *straight-through*: forward uses the draw g, backward treats it as θ, so
//!   ∂L/∂θ_i = Σ_batch ⟨∂L/∂(g_i e_i), e_i⟩;
//! * *relaxed*: σ((logit θ + logit u) / τ) with u uniform (Maddison et al. 2017), whose temperature τ falls over the
//!   search; its gradient is that of the relaxed value.

use super::{Learn, device::device, params::Params, settings::Gate};
use crate::{
    base::{Result, rng::Generator},
    data::schema::Feature,
};
use candle_core::Tensor;
use candle_nn::ops::sigmoid;
use rand::RngExt;

/// Name of the free parameters in [`Params`].
pub const THETA: &str = "theta";

/// The gates of all features.
#[derive(Debug, Clone)]
pub struct Mask {
    free: Tensor,
    /// 1 where θ is learned, 0 where the schema has decided.
    open: Tensor,
    /// 1 where the schema has decided to keep.
    kept: Tensor,
}

impl Mask {
    /// θ = `start` for all `features` but those that the schema decides: 1 where it says `must_keep`, 0 where `never`.
    pub fn new(features: &[Feature], start: f32, params: &mut Params) -> Result<Self> {
        let flags = |flag: fn(&Feature) -> bool| {
            let flags: Vec<f32> = features.iter().map(|f| f32::from(u8::from(flag(f)))).collect();
            Tensor::new(flags, device()).learn("create masks")
        };
        Ok(Self {
            free: params.constant(THETA, features.len(), (start / (1.0 - start)).ln())?,
            open: flags(|f| !f.must_keep && !f.never)?,
            kept: flags(|f| f.must_keep)?,
        })
    }

    /// θ, with gradient: `[features]`.
    pub fn theta(&self) -> Result<Tensor> {
        self.decided(sigmoid(&self.free)).learn("compute θ")
    }

    /// Puts in what the schema has decided.
    fn decided(&self, learned: candle_core::Result<Tensor>) -> candle_core::Result<Tensor> {
        (learned? * &self.open)? + &self.kept
    }

    /// θ as numbers.
    pub fn theta_values(&self) -> Result<Vec<f64>> {
        Ok(super::values(&self.theta()?)?.into_iter().map(f64::from).collect())
    }

    /// One draw: a row of gates `[1, features]` with gradient to θ. `progress` runs from 0 to 1 over the search.
    pub fn draw(&self, gate: &Gate, progress: f64, rng: &mut Generator) -> Result<Tensor> {
        let uniform: Vec<f32> = (0..self.free.elem_count()).map(|_| rng.random::<f32>()).collect();
        match gate {
            Gate::StraightThrough => {
                let theta = super::values(&self.theta()?)?;
                let drawn = uniform.iter().zip(theta).map(|(&u, t)| f32::from(u8::from(u < t))).collect();
                self.straight_through(drawn)
            }
            Gate::Relaxed { start_temperature, end_temperature } => {
                let temperature = start_temperature * (end_temperature / start_temperature).powf(progress);
                self.relaxed(uniform, temperature)
            }
        }
    }

    /// The given draw as gates with the straight-through gradient.
    pub fn straight_through(&self, drawn: Vec<f32>) -> Result<Tensor> {
        let theta = self.theta()?;
        let compute = || {
            let drawn = Tensor::from_vec(drawn, theta.shape(), theta.device())?;
            // The value is `drawn`; the gradient is that of θ.
            (drawn - theta.detach())?.add(&theta)?.unsqueeze(0)
        };
        compute().learn("draw masks")
    }

    fn relaxed(&self, uniform: Vec<f32>, temperature: f64) -> Result<Tensor> {
        let noise: Vec<f32> = uniform
            .iter()
            .map(|&u| {
                let u = u.clamp(1e-6, 1.0 - 1e-6);
                (u / (1.0 - u)).ln()
            })
            .collect();
        let compute = || {
            let noise = Tensor::from_vec(noise, self.free.shape(), device())?;
            self.decided(sigmoid(&((&self.free + noise)? / temperature)?))?.unsqueeze(0)
        };
        compute().learn("draw relaxed masks")
    }
}

/// Gates without gradient of `shape` `[rows, features]`: each is 0 with probability `share`, drawn row by row.
///
/// `place` tells where a shard's rows begin and how many rows the batch has: they are drawn as in the batch, and the
/// generator ends where that of the batch does.
pub fn missing(
    shape: (usize, usize),
    place: Option<(usize, usize)>,
    share: f32,
    rng: &mut Generator,
) -> Result<Tensor> {
    // A draw takes one word of the stream.
    let start = rng.get_word_pos();
    let word_of = |row: usize| start + (row * shape.1) as u128;
    if let Some((first, _)) = place {
        rng.set_word_pos(word_of(first));
    }
    let gates: Vec<f32> =
        (0..shape.0 * shape.1).map(|_| f32::from(u8::from(rng.random::<f32>() >= share))).collect();
    if let Some((_, rows)) = place {
        rng.set_word_pos(word_of(rows));
    }
    Tensor::from_vec(gates, shape, device()).learn("draw missing features")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::rng,
        learn::ops::gate::{Columns, gate},
        price::fixtures::feature,
    };
    use candle_core::Device;

    fn features(count: usize) -> Vec<Feature> {
        (0..count).map(|i| feature(&format!("f{i}"), 1)).collect()
    }

    #[test]
    fn draws_hit_theta_on_average_and_repeat_by_seed() {
        let mut params = Params::new(1);
        let mask = Mask::new(&features(2000), 0.3, &mut params).unwrap();
        let draw = |seed| {
            let gates = mask.draw(&Gate::StraightThrough, 0.0, &mut rng::generator(seed, "masks")).unwrap();
            super::super::values(&gates).unwrap()
        };
        let mean = draw(1).iter().sum::<f32>() / 2000.0;
        // Five standard deviations of the mean of 2,000 draws.
        assert!((mean - 0.3).abs() < 0.052, "{mean}");
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn the_straight_through_gradient_is_the_formula() {
        // L = Σ (g e + ¼)², so ∂L/∂(g e) = 2·(g e + ¼) and ∂L/∂θ_i = Σ_batch Σ_columns 2·(g e + ¼)·e.
        let mut params = Params::new(1);
        let mask = Mask::new(&features(2), 0.4, &mut params).unwrap();
        let columns = Columns::new(vec![0..2, 2..3]);
        let embedded = Tensor::new(&[[1f32, -2.0, 3.0], [0.5, 1.5, -1.0]], &Device::Cpu).unwrap();
        let drawn = [1f32, 0.0];
        let masked = gate(&embedded, &mask.straight_through(drawn.to_vec()).unwrap(), &columns).unwrap();
        let shifted = (&masked + 0.25).unwrap();
        let gradients = shifted.sqr().unwrap().sum_all().unwrap().backward().unwrap();
        let (_, free) = params.iter().next().unwrap();
        let got = gradients.get(free).unwrap().to_vec1::<f32>().unwrap();
        // Chain through the sigmoid: θ(1 − θ) = 0.24.
        let slope = |g: f32, e: f32| (g * e + 0.25) * e;
        let first = |g: f32| [1.0, -2.0, 0.5, 1.5].map(|e| slope(g, e)).iter().sum::<f32>();
        let second = |g: f32| [3.0, -1.0].map(|e| slope(g, e)).iter().sum::<f32>();
        let want = [2.0 * first(drawn[0]) * 0.24, 2.0 * second(drawn[1]) * 0.24];
        assert!((got[0] - want[0]).abs() < 1e-4 && (got[1] - want[1]).abs() < 1e-4, "{got:?} {want:?}");
    }

    #[test]
    fn what_the_schema_decides_is_not_drawn() {
        let mut features = features(3);
        features[0].must_keep = true;
        features[1].never = true;
        let mut params = Params::new(1);
        let mask = Mask::new(&features, 0.5, &mut params).unwrap();
        assert_eq!(mask.theta_values().unwrap(), [1.0, 0.0, 0.5]);
        let relaxed = Gate::Relaxed { start_temperature: 1.0, end_temperature: 0.1 };
        for gate in [Gate::StraightThrough, relaxed] {
            for seed in 0..20 {
                let gates = mask.draw(&gate, 0.5, &mut rng::generator(seed, "masks")).unwrap();
                assert_eq!(super::super::values(&gates).unwrap()[..2], [1.0, 0.0]);
                let gradients = gates.sum_all().unwrap().backward().unwrap();
                let (_, free) = params.iter().next().unwrap();
                let by_theta = super::super::values(gradients.get(free).unwrap()).unwrap();
                assert!(by_theta[..2] == [0.0, 0.0] && by_theta[2] > 0.0, "{by_theta:?}");
            }
        }
    }

    #[test]
    fn missing_features_differ_from_row_to_row_at_the_stated_share() {
        let gates = missing((500, 20), None, 0.3, &mut rng::generator(1, "missing")).unwrap();
        let rows = gates.to_vec2::<f32>().unwrap();
        let zeros = rows.iter().flatten().filter(|&&g| g == 0.0).count() as f64 / 1e4;
        // Five standard deviations of a share over 10,000 draws.
        assert!((zeros - 0.3).abs() < 0.023, "{zeros}");
        assert!(rows.iter().flatten().all(|&g| g == 0.0 || g == 1.0));
        assert_ne!(rows[0], rows[1]);
    }

    #[test]
    fn shards_miss_what_the_batch_misses() {
        let draw = |rows, place, rng: &mut Generator| {
            let gates = super::super::values(&missing((rows, 3), place, 0.4, rng).unwrap()).unwrap();
            (gates, rng.random::<u32>())
        };
        let rng = || rng::generator(1, "missing");
        let (whole, next) = draw(11, None, &mut rng());
        let (first, after_first) = draw(5, Some((0, 11)), &mut rng());
        let (second, after_second) = draw(6, Some((5, 11)), &mut rng());
        assert_eq!([first, second].concat(), whole);
        assert_eq!([after_first, after_second], [next; 2]);
    }
}

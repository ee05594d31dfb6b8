//! Which operators a step trains: all of every Mixop, or a few drawn from p.
//!
//! A sampled step runs the drawn operators alone, so its products cost a fraction of the mixture's. With two or more
//! (ProxylessNAS, Cai et al. 2019), p is rescaled over the drawn ones: they are weighed against each other, and the gradient
//! of α is that of the rescaled softmax. With a single one its weight is 1 and has the gradient of ln p, so that an operator
//! whose output lowers the loss gains mass.

use super::{Learn, settings::Paths, values};
use crate::base::{Result, rng::Generator};
use candle_core::Tensor;
use rand::RngExt;

/// p of every Mixop as a step sees it: 0 for operators that take no part, with gradient to the others.
pub fn draw(paths: Paths, probabilities: &[Tensor], rng: &mut Generator) -> Result<Vec<Tensor>> {
    let Paths::Sampled { count } = paths else { return Ok(probabilities.to_vec()) };
    probabilities.iter().map(|p| sampled(p, count, rng)).collect()
}

fn sampled(p: &Tensor, count: usize, rng: &mut Generator) -> Result<Tensor> {
    let taken = choose(&values(p)?, count, rng);
    let compute = || {
        let taken = Tensor::new(taken, p.device())?;
        let alive = (p * &taken)?;
        match count {
            1 => alive.div(&(p.detach() + (1.0 - taken)?)?),
            _ => alive.broadcast_div(&alive.sum_keepdim(0)?),
        }
    };
    compute().learn("sample operators")
}

/// 1 for `count` operators (or all there are), drawn one after the other with chances in proportion to p, else 0.
fn choose(p: &[f32], count: usize, rng: &mut Generator) -> Vec<f32> {
    let mut taken = vec![0.0; p.len()];
    for _ in 0..count.min(p.len()) {
        let left: f32 = p.iter().zip(&taken).map(|(p, taken)| p * (1.0 - taken)).sum();
        let mut point = rng.random::<f32>() * left;
        let mut open = (0..p.len()).filter(|&k| taken[k] == 0.0 && p[k] > 0.0);
        let Some(mut chosen) = open.next() else { break };
        for k in open {
            point -= p[chosen];
            if point < 0.0 {
                break;
            }
            chosen = k;
        }
        taken[chosen] = 1.0;
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng;
    use candle_core::{Device, Var};
    use candle_nn::ops::softmax;

    fn p(values: &[f32]) -> Tensor {
        Tensor::new(values, &Device::Cpu).unwrap()
    }

    #[test]
    fn operators_are_drawn_as_often_as_p_says() {
        let mut rng = rng::generator(1, "paths");
        let p = [0.5f32, 0.0, 0.2, 0.3];
        let mut counts = [0.0; 4];
        for _ in 0..20_000 {
            let taken = choose(&p, 1, &mut rng);
            assert_eq!(taken.iter().sum::<f32>(), 1.0);
            counts.iter_mut().zip(taken).for_each(|(count, taken)| *count += f64::from(taken) / 2e4);
        }
        // Five standard deviations of a share over 20,000 draws.
        assert!(counts.iter().zip(p).all(|(count, p)| (count - f64::from(p)).abs() < 0.0177), "{counts:?}");
        assert_eq!(counts[1], 0.0);
    }

    #[test]
    fn several_are_distinct_and_share_the_mass_in_proportion() {
        let mut rng = rng::generator(1, "paths");
        for _ in 0..50 {
            let drawn = draw(Paths::Sampled { count: 2 }, &[p(&[0.5, 0.1, 0.4])], &mut rng).unwrap();
            let drawn = values(&drawn[0]).unwrap();
            assert_eq!(drawn.iter().filter(|&&p| p > 0.0).count(), 2);
            assert!((drawn.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            if drawn[1] == 0.0 {
                assert!((drawn[0] / drawn[2] - 1.25).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn as_many_as_there_are_is_the_mixture() {
        let all = p(&[0.5, 0.1, 0.4]);
        let drawn =
            draw(Paths::Sampled { count: 3 }, std::slice::from_ref(&all), &mut rng::generator(1, "paths"))
                .unwrap();
        assert_eq!(values(&drawn[0]).unwrap(), values(&all).unwrap());
        let drawn = draw(Paths::All, std::slice::from_ref(&all), &mut rng::generator(1, "paths")).unwrap();
        assert_eq!(values(&drawn[0]).unwrap(), values(&all).unwrap());
    }

    #[test]
    fn a_single_one_has_weight_1_and_the_gradient_of_ln_p() {
        let alpha = Var::new(&[0.3f32, -0.2, 0.9], &Device::Cpu).unwrap();
        let p = softmax(&alpha, 0).unwrap();
        let drawn =
            draw(Paths::Sampled { count: 1 }, std::slice::from_ref(&p), &mut rng::generator(1, "paths"))
                .unwrap();
        let weights = values(&drawn[0]).unwrap();
        let chosen = weights.iter().position(|&w| w == 1.0).expect("one of weight 1");
        assert_eq!(weights.iter().sum::<f32>(), 1.0);
        let gradients = drawn[0].sum_all().unwrap().backward().unwrap();
        let found = values(gradients.get(&alpha).unwrap()).unwrap();
        for (k, (found, p)) in found.iter().zip(values(&p).unwrap()).enumerate() {
            let wanted = f32::from(u8::from(k == chosen)) - p;
            assert!((found - wanted).abs() < 1e-6, "{k}: {found} {wanted}");
        }
    }
}

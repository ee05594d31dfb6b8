//! Which operators a step trains: all of every Mixop, or a few drawn from p.
//!
//! A sampled step runs the drawn operators alone, so its products cost a fraction of the mixture's. With two or more
//! (ProxylessNAS, Cai et al. 2019), p is rescaled over the drawn ones: they are weighed against each other, and the gradient
//! of α is that of the rescaled softmax.
//!
//! A single one has the weight 1, and α learns from what the whole step came to ([`by_score`]). The gradient by the weight would be
//! cheaper to read, but it says whether a *larger* output of this operator would help, not whether another operator would: a biased
//! estimate.

use super::{Learn, device::device, settings::Paths, values};
use crate::base::{Result, rng::Generator};
use candle_core::{DType, Tensor};
use rand::RngExt;

/// p = softmax(α) of every Mixop as a step sees it: 0 for operators that take no part, with gradient to α.
pub fn draw(
    paths: Paths,
    alphas: &[Tensor],
    probabilities: &[Tensor],
    rng: &mut Generator,
) -> Result<Vec<Tensor>> {
    let Paths::Sampled { count } = paths else { return Ok(probabilities.to_vec()) };
    alphas.iter().zip(probabilities).map(|(alpha, p)| sampled(alpha, p, count, rng)).collect()
}

fn sampled(alpha: &Tensor, p: &Tensor, count: usize, rng: &mut Generator) -> Result<Tensor> {
    let taken = choose(&values(p)?, count, rng);
    let compute = || {
        let taken = Tensor::new(taken, p.device())?;
        if count == 1 {
            return Ok(taken);
        }
        // Through p, those that were not drawn would get the rounding error of a gradient of 0, which Adam takes for one.
        let largest = alpha.detach().max_keepdim(0)?;
        let alive = (alpha.broadcast_sub(&largest)?.exp()? * taken)?;
        alive.broadcast_div(&alive.sum_keepdim(0)?)
    };
    compute().learn("sample operators")
}

/// A term of value 0 with the gradient excess·∂ ln p(path) to α, for the single `path` drawn from p of every Mixop. `excess` is the
/// step's loss less what it usually is.
///
/// The mean of this gradient over the draws is the gradient of the expected loss, whatever the usual loss is taken to be (REINFORCE,
/// Williams 1992): Σ_k p_k·L_k·∂ ln p_k = ∂ Σ_k p_k·L_k, and Σ_k p_k·∂ ln p_k = 0. As it is linear in the excess, those of
/// several ranks add up.
pub fn by_score(p: &[Tensor], path: &[Tensor], excess: f64) -> Result<Tensor> {
    let compute = || {
        let mut sum = Tensor::zeros((), DType::F32, device())?;
        for (p, taken) in p.iter().zip(path) {
            sum = (sum + (p * taken)?.sum_all()?.log()?)?;
        }
        (&sum - sum.detach())? * excess
    };
    compute().learn("judge the drawn operators")
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

    /// Draws from softmax(α).
    fn draw_from(alpha: &Tensor, paths: Paths, rng: &mut Generator) -> Tensor {
        let p = softmax(alpha, 0).unwrap();
        draw(paths, std::slice::from_ref(alpha), &[p], rng).unwrap().remove(0)
    }

    /// α of these probabilities.
    fn alpha(p: &[f32]) -> Tensor {
        Tensor::new(p, &Device::Cpu).unwrap().log().unwrap()
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
            let drawn = draw_from(&alpha(&[0.5, 0.1, 0.4]), Paths::Sampled { count: 2 }, &mut rng);
            let drawn = values(&drawn).unwrap();
            assert_eq!(drawn.iter().filter(|&&p| p > 0.0).count(), 2);
            assert!((drawn.iter().sum::<f32>() - 1.0).abs() < 1e-6);
            if drawn[1] == 0.0 {
                assert!((drawn[0] / drawn[2] - 1.25).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn as_many_as_there_are_is_the_mixture() {
        let alpha = alpha(&[0.5, 0.1, 0.4]);
        let all = values(&softmax(&alpha, 0).unwrap()).unwrap();
        for paths in [Paths::Sampled { count: 3 }, Paths::All] {
            let drawn = draw_from(&alpha, paths, &mut rng::generator(1, "paths"));
            assert_eq!(values(&drawn).unwrap(), all);
        }
    }

    /// The weights drawn at α, and the gradient of α of their sum times 1, 2, 3, ….
    fn weights_and_gradient(alpha: &Var, count: usize, seed: u64) -> (Vec<f32>, Vec<f32>) {
        let mut rng = rng::generator(seed, "paths");
        let drawn = draw_from(alpha, Paths::Sampled { count }, &mut rng);
        let factors: Vec<f32> = (1..=alpha.elem_count()).map(|k| k as f32).collect();
        let factors = Tensor::new(factors, &Device::Cpu).unwrap();
        let gradients = (&drawn * factors).unwrap().sum_all().unwrap().backward().unwrap();
        (values(&drawn).unwrap(), values(gradients.get(alpha).unwrap()).unwrap())
    }

    #[test]
    fn several_have_the_gradient_of_their_own_softmax_and_those_not_drawn_have_none() {
        let alpha = Var::new(&[0.3f32, -0.2, 0.9, 0.1, -1.3], &Device::Cpu).unwrap();
        for seed in 0..20 {
            let (weights, found) = weights_and_gradient(&alpha, 2, seed);
            let mean: f32 = weights.iter().zip(1..).map(|(w, k)| w * k as f32).sum();
            for (k, (found, weight)) in found.iter().zip(&weights).enumerate() {
                let wanted = weight * ((k + 1) as f32 - mean);
                assert!((found - wanted).abs() < 1e-6, "{k}: {found} {wanted}");
                assert!(*weight > 0.0 || *found == 0.0, "{k} was not drawn and has {found}");
            }
        }
    }

    #[test]
    fn the_gradient_of_single_ones_is_on_average_that_of_the_expected_loss() {
        let alpha = Var::new(&[0.3f32, -0.2, 0.9], &Device::Cpu).unwrap();
        let losses = [0.5, 0.9, 0.2];
        let p = softmax(&alpha, 0).unwrap();
        let chances: Vec<f64> = values(&p).unwrap().into_iter().map(f64::from).collect();
        let expected: f64 = chances.iter().zip(losses).map(|(p, loss)| p * loss).sum();
        for usual in [0.0, 0.6] {
            let mut mean = [0.0; 3];
            for (k, chance) in chances.iter().enumerate() {
                let taken: Vec<f32> = (0..3).map(|i| f32::from(u8::from(i == k))).collect();
                let taken = Tensor::new(taken, &Device::Cpu).unwrap();
                let term = by_score(std::slice::from_ref(&p), &[taken], losses[k] - usual).unwrap();
                assert_eq!(term.to_scalar::<f32>().unwrap(), 0.0);
                let gradients = term.backward().unwrap();
                let gradient = values(gradients.get(&alpha).unwrap()).unwrap();
                mean.iter_mut().zip(gradient).for_each(|(mean, g)| *mean += chance * f64::from(g));
            }
            // ∂ Σ p_k·L_k by α_k.
            for (k, mean) in mean.iter().enumerate() {
                let wanted = chances[k] * (losses[k] - expected);
                assert!((mean - wanted).abs() < 1e-6, "{usual}, {k}: {mean} {wanted}");
            }
        }
    }

    #[test]
    fn a_single_one_has_weight_1_and_no_gradient_of_its_own() {
        let alpha = Var::new(&[0.3f32, -0.2, 0.9], &Device::Cpu).unwrap();
        let drawn = draw_from(&alpha, Paths::Sampled { count: 1 }, &mut rng::generator(1, "paths"));
        let weights = values(&drawn).unwrap();
        assert!(weights.iter().sum::<f32>() == 1.0 && weights.contains(&1.0), "{weights:?}");
        assert!(!drawn.track_op());
    }
}

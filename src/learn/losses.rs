//! The terms of equations (5) and (7).

use super::Learn;
use crate::base::Result;
use candle_core::Tensor;

/// Weighted mean of −y·ln σ(z) − (1−y)·ln(1−σ(z)) over logits `[rows]`: Σ w·loss / Σ w.
///
/// Computed as relu(z) − z·y + ln(1 + e^−|z|), which neither overflows nor loses digits.
pub fn cross_entropy(logits: &Tensor, labels: &Tensor, weights: &Tensor) -> Result<Tensor> {
    let compute = || {
        let softplus = (logits.relu()? + (logits.abs()?.neg()?.exp()? + 1.0)?.log()?)?;
        let each = (softplus - (logits * labels)?)?;
        (each * weights)?.sum_all()?.div(&weights.sum_all()?)
    };
    compute().learn("compute the cross entropy")
}

/// Mean over the batch of (r − p)²: the distillation term of (7), on probabilities `[rows]`.
pub fn distillation(teacher: &Tensor, student: &Tensor) -> Result<Tensor> {
    (teacher - student)
        .and_then(|d| d.sqr())
        .and_then(|d| d.mean_all())
        .learn("compute the distillation loss")
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn tensor(values: &[f32]) -> Tensor {
        Tensor::new(values, &Device::Cpu).unwrap()
    }

    #[test]
    fn cross_entropy_matches_the_definition_and_stays_finite() {
        let loss = cross_entropy(&tensor(&[0.5, -2.0]), &tensor(&[1.0, 0.0]), &tensor(&[1.0, 3.0])).unwrap();
        let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
        let want = (-sigmoid(0.5).ln() - 3.0 * (1.0 - sigmoid(-2.0)).ln()) / 4.0;
        assert!((super::super::scalar(&loss).unwrap() - want).abs() < 1e-6);
        let far =
            cross_entropy(&tensor(&[200.0, -200.0]), &tensor(&[0.0, 1.0]), &tensor(&[1.0, 1.0])).unwrap();
        assert_eq!(super::super::scalar(&far).unwrap(), 200.0);
    }

    #[test]
    fn distillation_is_the_mean_squared_difference() {
        let loss = distillation(&tensor(&[0.2, 0.9]), &tensor(&[0.5, 0.5])).unwrap();
        assert!((super::super::scalar(&loss).unwrap() - (0.09 + 0.16) / 2.0).abs() < 1e-6);
    }
}

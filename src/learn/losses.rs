//! The terms of equations (5) and (7).

pub mod lists;

use super::{Learn, device::device, linear_term, values};
use crate::{base::Result, data::dataset::Batch};
use candle_core::Tensor;
use candle_nn::ops::sigmoid;
use lists::{ListLoss, over_lists};

/// Weighted mean of −y·ln σ(z) − (1−y)·ln(1−σ(z)) over logits `[rows]`: Σ w·loss / Σ w; 0 when all weights are 0.
///
/// Computed as relu(z) − z·y + ln(1 + e^−|z|), which neither overflows nor loses digits.
pub fn cross_entropy(logits: &Tensor, labels: &Tensor, weights: &Tensor) -> Result<Tensor> {
    let compute = || {
        let total = weights.sum_all()?.maximum(f64::from(f32::MIN_POSITIVE))?;
        weighted(logits, labels, weights)?.div(&total)
    };
    compute().learn("compute the cross entropy")
}

/// Σ w·loss of [`cross_entropy`].
fn weighted(logits: &Tensor, labels: &Tensor, weights: &Tensor) -> candle_core::Result<Tensor> {
    let softplus = (logits.relu()? + (logits.abs()?.neg()?.exp()? + 1.0)?.log()?)?;
    let each = (softplus - (logits * labels)?)?;
    (each * weights)?.sum_all()
}

/// [`cross_entropy`] of a batch, or what its rows add to that of the batch that they are a part of.
pub fn ranking(logits: &Tensor, batch: &Batch) -> Result<Tensor> {
    let tensor = |values: &[f32]| Tensor::new(values, device()).learn("read labels");
    let (labels, weights) = (tensor(&batch.labels)?, tensor(&batch.weights)?);
    match &batch.part {
        None => cross_entropy(logits, &labels, &weights),
        Some(part) => weighted(logits, &labels, &weights)
            .and_then(|sum| sum / part.weight_total)
            .learn("compute the cross entropy"),
    }
}

/// Mean over the batch of (r − p)²: the distillation term of (7), on probabilities `[rows]`.
pub fn distillation(teacher: &Tensor, student: &Tensor) -> Result<Tensor> {
    (teacher - student)
        .and_then(|d| d.sqr())
        .and_then(|d| d.mean_all())
        .learn("compute the distillation loss")
}

/// Equation (7) without latency: (1 − λ1)·cross entropy + λ1·distillation of the logits `[rows]` of a batch. `teacher`
/// holds r(x) for every row of the data set. Of a shard, it is what the rows add to that of the whole batch.
pub fn taught(logits: &Tensor, batch: &Batch, teacher: &[f32], lambda1: f64) -> Result<Tensor> {
    let soft = Tensor::new(soft(batch, teacher), device()).learn("read the teacher's scores")?;
    let chances = sigmoid(logits).learn("score a batch")?;
    let distilled = match &batch.part {
        None => distillation(&soft, &chances)?,
        Some(part) => (soft - chances)
            .and_then(|d| d.sqr()?.sum_all()? / part.row_total)
            .learn("compute the distillation loss")?,
    };
    both(ranking(logits, batch)?, distilled, lambda1)
}

/// [`taught`] with what `loss` compares within the lists of the batch as distillation term: its mean over the lists.
pub fn taught_in_lists(
    logits: &Tensor,
    batch: &Batch,
    teacher: &[f32],
    lambda1: f64,
    loss: ListLoss,
) -> Result<Tensor> {
    let (sum, gradient) = over_lists(loss, &values(logits)?, &soft(batch, teacher), &batch.lists);
    let lists = batch.part.as_ref().map_or(batch.lists.len() as f64, |part| part.list_total);
    let gradient: Vec<f64> = gradient.into_iter().map(|g| g / lists).collect();
    let distilled = linear_term(sum / lists, &[(logits, &gradient)])?;
    both(ranking(logits, batch)?, distilled, lambda1)
}

/// r(x) of the rows of a batch.
fn soft(batch: &Batch, teacher: &[f32]) -> Vec<f32> {
    batch.index.iter().map(|&row| teacher[row as usize]).collect()
}

/// (1 − λ1)·ranking + λ1·distilled.
fn both(ranking: Tensor, distilled: Tensor, lambda1: f64) -> Result<Tensor> {
    let sum = || (ranking * (1.0 - lambda1))? + (distilled * lambda1)?;
    sum().learn("add losses")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{dataset::Dataset, lists::Listed, shard::Place};
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
    fn what_the_shards_add_is_the_loss_of_the_batch() {
        let rows = 7;
        let numbers = |factor: f32| (0..rows).map(|i| (factor * i as f32).sin().abs()).collect::<Vec<f32>>();
        let data = Dataset {
            labels: numbers(1.0).into_iter().map(f32::round).collect(),
            // The second shard of three weighs nothing.
            weights: numbers(2.0)
                .into_iter()
                .zip(0..)
                .map(|(w, i)| if i / 3 == 1 { 0.0 } else { w })
                .collect(),
            partitions: vec![0; rows].into(),
            partition_count: 1,
            ..Dataset::default()
        };
        let (logits, scores) = (numbers(3.0), numbers(5.0));
        let index: Vec<u32> = (0..rows as u32).collect();
        let losses = |batch: &Batch| {
            let own: Vec<f32> = batch.index.iter().map(|&row| logits[row as usize]).collect();
            let own = tensor(&own);
            [0.0, 0.3, 1.0]
                .map(|lambda1| super::super::scalar(&taught(&own, batch, &scores, lambda1).unwrap()).unwrap())
        };
        let whole = losses(&Batch::of(&data, &index));
        for size in [1, 2, 3, 10] {
            let mut sums = [0.0; 3];
            for rank in 0..size {
                let of_shard = losses(&Batch::shard(&data, &index, Place { rank, size }));
                sums.iter_mut().zip(of_shard).for_each(|(sum, loss)| *sum += loss);
            }
            for (sum, whole) in sums.iter().zip(whole) {
                assert!((sum - whole).abs() < 1e-6, "{size} ranks: {sum} {whole}");
            }
        }
    }

    #[test]
    fn what_the_shards_add_is_the_loss_of_a_batch_of_lists() {
        let rows = 9;
        let numbers = |factor: f32| (0..rows).map(|i| (factor * i as f32).sin().abs()).collect::<Vec<f32>>();
        let data = Dataset {
            labels: numbers(1.0).into_iter().map(f32::round).collect(),
            weights: numbers(2.0).into(),
            partitions: vec![0; rows].into(),
            partition_count: 1,
            ..Dataset::default()
        };
        let (logits, scores) = (numbers(3.0), numbers(5.0));
        let listed = Listed { index: vec![4, 8, 0, 3, 6, 1, 5], ends: vec![2, 3, 7] };
        for loss in [ListLoss::Pairwise, ListLoss::Listwise] {
            let of = |batch: &Batch| {
                let own: Vec<f32> = batch.index.iter().map(|&row| logits[row as usize]).collect();
                let own = candle_core::Var::from_tensor(&tensor(&own)).unwrap();
                let loss = taught_in_lists(&own, batch, &scores, 0.4, loss).unwrap();
                let gradients = loss.backward().unwrap();
                let by_row = super::super::values(gradients.get(&own).unwrap()).unwrap();
                (super::super::scalar(&loss).unwrap(), by_row)
            };
            let (whole, slopes) = of(&Batch::shard_of_lists(&data, &listed, Place::ALONE));
            assert!(slopes.iter().filter(|slope| slope.abs() > 1e-3).count() > 4, "{slopes:?}");
            for size in [2, 3, 5] {
                let (mut sum, mut joined) = (0.0, Vec::new());
                for rank in 0..size {
                    let (part, by_row) = of(&Batch::shard_of_lists(&data, &listed, Place { rank, size }));
                    sum += part;
                    if rank < listed.ends.len() {
                        joined.extend(by_row);
                    } else {
                        assert!(part == 0.0 && by_row == [0.0], "a rank without lists");
                    }
                }
                assert!((sum - whole).abs() < 1e-6, "{loss:?}, {size} ranks: {sum} {whole}");
                assert!(joined.iter().zip(&slopes).all(|(a, b)| (a - b).abs() < 1e-6), "{size} ranks");
            }
        }
    }

    #[test]
    fn a_row_without_weight_counts_in_the_distillation_alone() {
        let batch = |weights: [f32; 2]| Batch {
            index: vec![0, 1],
            labels: vec![1.0, 0.0],
            weights: weights.to_vec(),
            lists: vec![2],
            ..Batch::default()
        };
        let logits = tensor(&[0.5, 1.5]);
        let loss = |weights, lambda1, loss| {
            let loss = taught_in_lists(&logits, &batch(weights), &[0.9, 0.2], lambda1, loss).unwrap();
            super::super::scalar(&loss).unwrap()
        };
        // The label of the second row, which would cost ln(1 + e^1.5), is not one.
        let first = (1.0 + (-0.5f64).exp()).ln();
        assert!((loss([1.0, 0.0], 0.0, ListLoss::Pairwise) - first).abs() < 1e-6);
        for of in [ListLoss::Pairwise, ListLoss::Listwise] {
            assert_eq!(loss([1.0, 0.0], 1.0, of), loss([1.0, 1.0], 1.0, of));
        }
    }

    #[test]
    fn distillation_is_the_mean_squared_difference() {
        let loss = distillation(&tensor(&[0.2, 0.9]), &tensor(&[0.5, 0.5])).unwrap();
        assert!((super::super::scalar(&loss).unwrap() - (0.09 + 0.16) / 2.0).abs() < 1e-6);
    }

    #[test]
    fn a_batch_without_weight_has_no_loss_and_no_gradient() {
        let logits = candle_core::Var::from_tensor(&tensor(&[0.5, -2.0])).unwrap();
        let loss = cross_entropy(&logits, &tensor(&[1.0, 0.0]), &tensor(&[0.0, 0.0])).unwrap();
        assert_eq!(super::super::scalar(&loss).unwrap(), 0.0);
        let gradients = loss.backward().unwrap();
        assert_eq!(super::super::values(gradients.get(&logits).unwrap()).unwrap(), [0.0, 0.0]);
    }

    #[test]
    fn what_is_taught_weighs_labels_and_teacher() {
        let batch =
            Batch { index: vec![2, 0], labels: vec![1.0, 0.0], weights: vec![1.0, 1.0], ..Batch::default() };
        // ln 2 each for the labels; 0.3² and 0.1² for r(x) of rows 2 and 0.
        let loss = taught(&tensor(&[0.0, 0.0]), &batch, &[0.4, 9.0, 0.8], 0.25).unwrap();
        let want = 0.75 * 2f64.ln() + 0.25 * (0.09 + 0.01) / 2.0;
        assert!((super::super::scalar(&loss).unwrap() - want).abs() < 1e-6);
    }
}

//! Features that single rows miss while a teacher trains.

use super::super::{Learn, device::device};
use crate::base::{Result, rng::Generator};
use candle_core::Tensor;
use rand::RngExt;

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
    use crate::{base::rng, learn::values};

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
            let gates = values(&missing((rows, 3), place, 0.4, rng).unwrap()).unwrap();
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

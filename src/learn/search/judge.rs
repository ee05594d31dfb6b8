//! The supernet as a cheap evaluator: any network of the space with the weights that it has inside the supernet, without training it.
//! (Cai et al. 2020, "Once-for-all"; Guo et al. 2020, "Single path one-shot".)
//!
//! A subnet is run with hard gates and all mass on its operators, which is exactly the network that its slices of the supernet's
//! weights make up. What it is worth is told on rows that neither the teacher nor the supernet was trained on; the embeddings of
//! these rows are looked up once.

use super::Search;
use crate::{
    base::{Error, Result},
    data::{batches, dataset::Batch},
    learn::{
        Learn,
        derive::Judge,
        device::device,
        metrics::Placements,
        supernet::Supernet,
        teacher::{Teacher, masked},
        values,
    },
    space::Subnet,
};
use candle_core::Tensor;

/// The supernet in its present state, and rows to judge on.
pub struct SupernetJudge<'s> {
    supernet: &'s Supernet,
    teacher: &'s Teacher,
    /// Embeddings of the rows, some thousands at a time.
    inputs: Vec<Tensor>,
    labels: Vec<f32>,
}

impl Search<'_> {
    /// Judges subnets with the present weights on these rows of the data.
    pub fn judge(&self, rows: &[u32]) -> Result<SupernetJudge<'_>> {
        let (data, teacher) = (self.scene.rows.data, self.scene.teacher);
        let embed = |rows: &[u32]| Ok(teacher.embed(&Batch::of(data, rows))?.detach());
        Ok(SupernetJudge {
            supernet: &self.supernet,
            teacher,
            inputs: batches::chunks(rows).map(embed).collect::<Result<_>>()?,
            labels: rows.iter().map(|&row| data.labels[row as usize]).collect(),
        })
    }
}

impl SupernetJudge<'_> {
    /// Logits of the rows, in their order.
    fn logits(&self, subnet: &Subnet) -> Result<Vec<f32>> {
        let space = self.supernet.space();
        let kept = |i: usize| f32::from(u8::from(subnet.features.binary_search(&i).is_ok()));
        let gates: Vec<f32> = (0..space.features.len()).map(kept).collect();
        let gates = Tensor::new(gates, device()).and_then(|gates| gates.unsqueeze(0)).learn("set gates")?;
        let p: Vec<Tensor> = space
            .mixops
            .iter()
            .zip(&subnet.operators)
            .map(|(operators, chosen)| {
                let mass: Vec<f32> = operators.iter().map(|o| f32::from(u8::from(o == chosen))).collect();
                Tensor::new(mass, device()).learn("choose operators")
            })
            .collect::<Result<_>>()?;
        let mut logits = Vec::with_capacity(self.labels.len());
        for input in &self.inputs {
            let input = masked(self.teacher, input, &gates)?.detach();
            logits.extend(values(&self.supernet.forward(&input, &p)?)?);
        }
        Ok(logits)
    }
}

impl Judge for SupernetJudge<'_> {
    fn placements(&self, subnet: &Subnet) -> Result<Placements> {
        Placements::of(&self.logits(subnet)?, &self.labels).ok_or_else(|| {
            Error::usage(
                format!("{} rows that are held out to judge networks have one label only, or scores that are no numbers", self.labels.len()),
                "hold out more rows ([search] held_out), or lower the learning rate of the search",
            )
        })
    }
}

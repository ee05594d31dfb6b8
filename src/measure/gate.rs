//! Whether int8 costs more than it may: the scores of every engine against those of the same network in fp32.

use crate::{
    base::{Error, Result, names::EngineName},
    export::quantise::{GateLimits, Judge, ListKind, QuantisationReport, ScoreLoss},
};
use serde::{Deserialize, Serialize};

/// Scores of the compared rows by one engine.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineScores {
    /// Which runtime.
    pub engine: EngineName,
    /// Its version.
    pub version: String,
    /// One per row.
    pub scores: Vec<f32>,
}

/// What int8 costs in one engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EngineLoss {
    /// Which runtime.
    pub engine: EngineName,
    /// Its version.
    pub version: String,
    /// What it costs.
    #[serde(flatten)]
    pub loss: ScoreLoss,
}

/// What was compared with fp32, and that it kept its limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateReport {
    /// The limits.
    pub limits: GateLimits,
    /// Rows that were compared.
    pub rows: usize,
    /// What the lists of the overlap are.
    pub lists: ListKind,
    /// AUC of the rows in fp32; absent with labels of one class.
    pub fp32_auc: Option<f64>,
    /// Every engine.
    pub engines: Vec<EngineLoss>,
}

/// Judges the scores of every engine. One that costs more than `limits` is an [`Error::Limit`], with what each layer costs; rows
/// that can show no loss, of one class or fewer than the limits compare, are an error as well.
pub fn gate(
    judge: &Judge,
    limits: &GateLimits,
    scored: &[EngineScores],
    quantised: &QuantisationReport,
) -> Result<GateReport> {
    let rows = scored.first().map_or(0, |one| one.scores.len());
    let mut engines = Vec::new();
    for EngineScores { engine, version, scores } in scored {
        let loss = judge.loss(scores);
        if loss.auc_change.is_none() || loss.overlap.is_none() {
            let problem = format!("{rows} rows do not show what int8 costs: {loss}");
            let fix = format!(
                "give rows of both classes, and lists of more than {}, or a smaller top_k",
                limits.top_k
            );
            return Err(Error::usage(problem, fix));
        }
        if !loss.within(limits) {
            let GateLimits { max_auc_change, min_overlap, top_k } = limits;
            return Err(Error::Limit {
                limit: format!(
                    "int8 within |ΔAUC| ≤ {max_auc_change} and overlap of the top {top_k} ≥ {min_overlap} of fp32"
                ),
                found: format!(
                    "{engine} {version} has {loss} on {rows} rows; widen the limits, calibrate on more rows, or export in fp16\n{}",
                    quantised.table()
                ),
            });
        }
        engines.push(EngineLoss { engine: *engine, version: version.clone(), loss });
    }
    Ok(GateReport { limits: *limits, rows, lists: judge.kind(), fp32_auc: judge.auc(), engines })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::names::RangeMethod,
        data::dataset::Dataset,
        export::quantise::{LayerFormat, LayerReport},
    };

    fn quantised() -> QuantisationReport {
        let layer = LayerReport {
            layer: "layer2".to_owned(),
            format: LayerFormat::Int8,
            reason: None,
            method: Some(RangeMethod::MinMax),
            logit_error_pct: [(RangeMethod::MinMax, 7.5)].into(),
        };
        QuantisationReport {
            schema_version: QuantisationReport::SCHEMA_VERSION,
            rows: 4,
            weight_bits: 8,
            layers: vec![layer],
            lists: ListKind::Blocks,
            loss: ScoreLoss { auc_change: None, overlap: None },
            logit_error_pct: 7.5,
        }
    }

    fn scored(scores: &[f32]) -> Vec<EngineScores> {
        vec![EngineScores { engine: EngineName::Tract, version: "0".to_owned(), scores: scores.to_vec() }]
    }

    #[test]
    fn scores_that_rank_alike_pass_and_others_fail_with_the_losses_of_the_layers() {
        let data = Dataset { labels: vec![1.0, 0.0, 1.0, 0.0].into(), ..Dataset::default() };
        let reference = vec![0.9, 0.6, 0.5, 0.1];
        let judge = Judge::new(reference, &data, &[0, 1, 2, 3], 2);
        // Three of four pairs are in order.
        assert_eq!(judge.auc(), Some(0.75));
        let limits = GateLimits { top_k: 2, ..GateLimits::default() };
        let kept = gate(&judge, &limits, &scored(&[0.8, 0.7, 0.4, 0.2]), &quantised()).unwrap();
        assert_eq!(kept.engines[0].loss, ScoreLoss { auc_change: Some(0.0), overlap: Some(1.0) });
        // Now all pairs are, and one of the two best is another: both are changes.
        let failed = gate(&judge, &limits, &scored(&[0.8, 0.3, 0.4, 0.2]), &quantised()).unwrap_err();
        let text = failed.to_string();
        assert!(matches!(failed, Error::Limit { .. }));
        for part in ["tract 0", "ΔAUC +0.25000, overlap 0.5000", "layer2 int8", "min-max* 7.500 %"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        let wide = GateLimits { max_auc_change: 0.25, min_overlap: 0.5, top_k: 2 };
        assert!(gate(&judge, &wide, &scored(&[0.8, 0.3, 0.4, 0.2]), &quantised()).is_ok());
        assert!(gate(&judge, &wide, &scored(&[f32::NAN; 4]), &quantised()).is_err());
    }

    #[test]
    fn rows_that_show_no_loss_pass_nothing() {
        let reference = vec![0.9, 0.6, 0.5, 0.1];
        for (labels, top_k) in [(vec![0.0; 4], 2), (vec![1.0, 0.0, 1.0, 0.0], 4)] {
            let data = Dataset { labels: labels.into(), ..Dataset::default() };
            let judge = Judge::new(reference.clone(), &data, &[0, 1, 2, 3], top_k);
            let limits = GateLimits { top_k, ..GateLimits::default() };
            let refused = gate(&judge, &limits, &scored(&reference), &quantised()).unwrap_err();
            assert!(matches!(&refused, Error::Usage { .. }), "{refused}");
            assert!(refused.to_string().contains("undefined"), "{refused}");
        }
    }
}

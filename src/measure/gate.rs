//! Whether rounding costs more than it may: the scores of every engine against those of the same network in fp32.

use crate::{
    base::{
        Error, Result,
        names::{EngineName, Precision, RowFormat},
    },
    export::quantise::{GateLimits, Judge, ListKind, QuantisationReport, ScoreLoss},
};
use serde::{Deserialize, Serialize};

/// What of a model is rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rounding {
    /// Number format of the graph.
    pub precision: Precision,
    /// That of the rows of its item table, where it has one.
    pub rows: Option<RowFormat>,
}

impl Rounding {
    /// Whether anything is.
    pub fn any(self) -> bool {
        self.precision != Precision::Fp32 || self.rows.is_some_and(|rows| rows != RowFormat::F32)
    }

    /// What loses less.
    fn advice(self) -> &'static str {
        match (self.precision, self.rows) {
            (Precision::Int8, _) => "widen the limits, calibrate on more rows, or export in fp16",
            (_, Some(RowFormat::I8)) => "widen the limits, or keep f16 rows",
            (_, Some(RowFormat::F16)) => "widen the limits, or keep f32 rows",
            _ => "widen the limits, or export in fp32",
        }
    }
}

impl std::fmt::Display for Rounding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.precision)?;
        match self.rows {
            Some(rows) if rows != RowFormat::F32 => write!(f, " with item rows in {rows}"),
            _ => Ok(()),
        }
    }
}

/// Scores of the compared rows by one engine.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineScores {
    /// Which runtime.
    pub engine: EngineName,
    /// Its version.
    pub version: String,
    /// One per row.
    pub scores: Vec<f32>,
    /// One per row of the lists that the proof was given.
    pub listed: Vec<f32>,
}

/// What rounding costs in one engine.
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
    /// Rows whose AUC was compared.
    pub rows: usize,
    /// What the lists of the overlap are.
    pub lists: ListKind,
    /// How many there are.
    pub list_count: usize,
    /// AUC of the rows in fp32; absent with labels of one class.
    pub fp32_auc: Option<f64>,
    /// Every engine.
    pub engines: Vec<EngineLoss>,
}

/// Judges the scores of every engine. One that costs more than `limits` is an [`Error::Limit`], with what each layer costs; rows
/// that can show no loss, of one class or fewer than twice what the limits compare, are an error as well.
pub fn gate(
    judge: &Judge<'_>,
    limits: &GateLimits,
    rounding: Rounding,
    scored: &[EngineScores],
    quantised: Option<&QuantisationReport>,
) -> Result<GateReport> {
    let rows = scored.first().map_or(0, |one| one.scores.len());
    let mut engines = Vec::new();
    for EngineScores { engine, version, scores, listed } in scored {
        let loss = judge.loss(scores, listed);
        if loss.auc_change.is_none() || loss.overlap.is_none() {
            let problem = format!("{rows} rows do not show what {rounding} costs: {loss}");
            let fix = format!(
                "give rows of both classes, and at least {} of them, or a smaller --top-k",
                2 * limits.top_k
            );
            return Err(Error::usage(problem, fix));
        }
        if !loss.within(limits) {
            let GateLimits { max_auc_change, min_overlap, top_k } = limits;
            return Err(Error::Limit {
                limit: format!(
                    "{rounding} within |ΔAUC| ≤ {max_auc_change} and overlap of the top {top_k} ≥ {min_overlap} of fp32"
                ),
                found: format!(
                    "{engine} {version} has {loss} on {rows} rows; {}{}",
                    rounding.advice(),
                    quantised.map(|report| format!("\n{}", report.table())).unwrap_or_default()
                ),
            });
        }
        engines.push(EngineLoss { engine: *engine, version: version.clone(), loss });
    }
    Ok(GateReport {
        limits: *limits,
        rows,
        lists: judge.lists().kind(),
        list_count: judge.lists().count(),
        fp32_auc: judge.auc(),
        engines,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::names::RangeMethod,
        data::{
            dataset::{Dataset, EncodedFeature, Slot},
            schema::Side,
        },
        export::quantise::{LayerFormat, LayerReport},
        learn::network::{Body, Dense, Embedding, Network, NetworkInput},
    };

    fn quantised() -> QuantisationReport {
        let layer = LayerReport {
            layer: "layer2".to_owned(),
            format: LayerFormat::Int8,
            reason: None,
            method: Some(RangeMethod::MinMax),
            equalised: false,
            logit_error_pct: [(RangeMethod::MinMax, 7.5)].into(),
        };
        QuantisationReport {
            schema_version: QuantisationReport::SCHEMA_VERSION,
            rows: 4,
            judged_rows: 4,
            weight_bits: 8,
            layers: vec![layer],
            lists: ListKind::Joined,
            loss: ScoreLoss { auc_change: None, overlap: None },
            logit_error_pct: 7.5,
        }
    }

    /// Four rows whose only number is their logit, each the item of a user that nothing depends on.
    fn scene(labels: [f32; 4]) -> (Network, Dataset) {
        let logits = [0.9f32, 0.6, 0.5, 0.1].map(|p| (p / (1.0 - p)).ln());
        let feature = EncodedFeature { name: "x".into(), slot: Slot::Number { index: 0 }, cardinality: 0 };
        let data = Dataset {
            features: vec![feature],
            number_slots: 1,
            numbers: logits.to_vec().into(),
            labels: labels.to_vec().into(),
            ..Dataset::default()
        };
        let input = NetworkInput {
            feature: "x".to_owned(),
            side: Side::Item,
            width: 1,
            embedding: Embedding::Number { scale: vec![1.0], missing: vec![0.0] },
        };
        let layers = vec![Dense { inputs: 1, outputs: 1, weight: vec![1.0], bias: vec![0.0] }];
        (Network { inputs: vec![input], body: Body::Mlp(layers) }, data)
    }

    /// Scores of the four rows by an engine, and of the lists of the same items.
    fn scored(judge: &Judge<'_>, scores: [f32; 4]) -> Vec<EngineScores> {
        let lists = judge.lists();
        let known = [0.9f32, 0.6, 0.5, 0.1].map(|p| (p / (1.0 - p)).ln());
        let of_item = |&row: &u32| {
            let logit = lists.data().numbers_of(row as usize)[0];
            scores[known.iter().position(|&one| one == logit).unwrap()]
        };
        let listed = lists.rows().iter().map(of_item).collect();
        let (engine, version) = (EngineName::Tract, "0".to_owned());
        vec![EngineScores { engine, version, scores: scores.to_vec(), listed }]
    }

    const INT8: Rounding = Rounding { precision: Precision::Int8, rows: None };

    #[test]
    fn scores_that_rank_alike_pass_and_others_fail_with_the_losses_of_the_layers() {
        let (network, data) = scene([1.0, 0.0, 1.0, 0.0]);
        let every = [0, 1, 2, 3];
        let judge = Judge::new(&network, &data, &every, &every, 2).unwrap();
        // Three of four pairs are in order.
        assert_eq!(judge.auc(), Some(0.75));
        let limits = GateLimits { top_k: 2, ..GateLimits::default() };
        let ask = |limits: &GateLimits, rounding, scores, report: Option<&QuantisationReport>| {
            gate(&judge, limits, rounding, &scored(&judge, scores), report)
        };
        let kept = ask(&limits, INT8, [0.8, 0.7, 0.4, 0.2], Some(&quantised())).unwrap();
        assert_eq!(kept.engines[0].loss, ScoreLoss { auc_change: Some(0.0), overlap: Some(1.0) });
        assert_eq!((kept.lists, kept.list_count), (ListKind::Joined, 64));
        // Now all pairs are, and one of the two best is another: both are changes.
        let failed = ask(&limits, INT8, [0.8, 0.3, 0.4, 0.2], Some(&quantised())).unwrap_err();
        let text = failed.to_string();
        assert!(matches!(failed, Error::Limit { .. }));
        for part in ["tract 0", "ΔAUC +0.25000, overlap 0.5000", "layer2 int8", "min-max* 7.500 %"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        // Rows of an item table are judged alike, without layers to report.
        let rows = Rounding { precision: Precision::Fp32, rows: Some(RowFormat::I8) };
        let text = ask(&limits, rows, [0.8, 0.3, 0.4, 0.2], None).unwrap_err().to_string();
        assert!(
            text.contains("fp32 with item rows in i8 within") && text.contains("keep f16 rows"),
            "{text}"
        );
        let wide = GateLimits { max_auc_change: 0.25, min_overlap: 0.5, top_k: 2 };
        assert!(ask(&wide, INT8, [0.8, 0.3, 0.4, 0.2], None).is_ok());
        assert!(ask(&wide, INT8, [f32::NAN; 4], None).is_err());
    }

    #[test]
    fn rows_that_show_no_loss_pass_nothing() {
        // One class; and lists that are all among their best but one.
        for (labels, top_k) in [([0.0; 4], 2), ([1.0, 0.0, 1.0, 0.0], 3)] {
            let (network, data) = scene(labels);
            let judge = Judge::new(&network, &data, &[0, 1, 2, 3], &[0, 1, 2, 3], top_k).unwrap();
            let limits = GateLimits { top_k, ..GateLimits::default() };
            let scores = scored(&judge, [0.9, 0.6, 0.5, 0.1]);
            let refused = gate(&judge, &limits, INT8, &scores, None).unwrap_err();
            assert!(matches!(&refused, Error::Usage { .. }), "{refused}");
            assert!(refused.to_string().contains("undefined"), "{refused}");
        }
    }

    #[test]
    fn only_what_is_rounded_has_a_gate() {
        let any = |precision, rows| Rounding { precision, rows }.any();
        assert!(!any(Precision::Fp32, None) && !any(Precision::Fp32, Some(RowFormat::F32)));
        assert!(any(Precision::Fp16, None) && any(Precision::Int8, Some(RowFormat::F32)));
        assert!(any(Precision::Fp32, Some(RowFormat::F16)) && any(Precision::Fp32, Some(RowFormat::I8)));
    }
}

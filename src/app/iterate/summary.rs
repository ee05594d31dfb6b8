//! What a run found, for people and for `summary.json`.

use super::{
    Run,
    measured::Calibrated,
    traffic::Replays,
    training::{Guide, Trained},
};
use crate::{
    base::names::EngineName,
    learn::metrics::Metrics,
    measure::{latency::LatencySummary, measurement::Measurement},
    price::{agreement::Agreement, calibrate::Calibration},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, path::Path};

/// Version of `summary.json`.
const SCHEMA_VERSION: u32 = 1;

/// The result of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Version of this layout.
    pub schema_version: u32,
    /// The ranking network.
    pub teacher: TeacherSummary,
    /// Every round.
    pub rounds: Vec<RoundSummary>,
    /// The derived network of the best validation AUC.
    pub winner: WinnerSummary,
    /// The plain DNN on all features.
    pub baseline: BaselineSummary,
}

/// r(x) on the validation rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TeacherSummary {
    /// AUC, GAUC and logloss.
    #[serde(flatten)]
    pub metrics: Metrics,
}

/// A trained network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetworkSummary {
    /// Canonical id.
    pub subnet: String,
    /// Names of its features.
    pub features: Vec<String>,
    /// Widths of its hidden layers.
    pub layers: Vec<usize>,
    /// On the validation rows.
    #[serde(flatten)]
    pub metrics: Metrics,
    /// Trained numbers, embeddings included.
    pub parameters: usize,
    /// Multiply-adds of the dense layers for one candidate.
    pub multiply_adds: usize,
    /// The ONNX file, from the run's folder.
    pub onnx: String,
}

/// One engine in one round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EnginePrediction {
    /// What the round's table said about the winner.
    pub predicted_ms: f64,
    /// Its measured mean service time.
    pub measured_ms: f64,
    /// (predicted − measured) / measured.
    pub residual_pct: f64,
    /// Spread of the measurement.
    pub noise_pct: f64,
    /// The plain DNN's mean service time in the same measurement.
    pub baseline_ms: f64,
    /// The other networks, with the table that the search paid with and with the corrected one.
    pub calibration: Calibration,
}

/// One round.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoundSummary {
    /// From 1.
    pub round: usize,
    /// Version of the table that the search paid with.
    pub table_version: u32,
    /// The derived network.
    #[serde(flatten)]
    pub network: NetworkSummary,
    /// By engine.
    pub engines: BTreeMap<EngineName, EnginePrediction>,
}

/// The network that the run recommends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WinnerSummary {
    /// The round that found it.
    pub round: usize,
    /// What it is.
    #[serde(flatten)]
    pub network: NetworkSummary,
    /// Its service time in ms by engine.
    pub measured_ms: BTreeMap<EngineName, f64>,
    /// Its response time under replayed traffic by engine.
    pub replay_us: BTreeMap<EngineName, LatencySummary>,
}

/// The yardstick.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BaselineSummary {
    /// What it is.
    #[serde(flatten)]
    pub network: NetworkSummary,
    /// Its service time in ms by engine.
    pub measured_ms: BTreeMap<EngineName, f64>,
    /// Its response time under replayed traffic by engine.
    pub replay_us: BTreeMap<EngineName, LatencySummary>,
}

impl RoundSummary {
    /// The round of the highest validation AUC; the earliest of equal ones.
    pub fn best(rounds: &[Self]) -> &Self {
        let auc = |round: &Self| round.network.metrics.auc.unwrap_or(0.0);
        rounds
            .iter()
            .reduce(|best, round| if auc(round) > auc(best) { round } else { best })
            .expect("one round")
    }
}

impl Run<'_> {
    pub(super) fn network_summary(&self, trained: &Trained) -> NetworkSummary {
        let finished = &trained.finished;
        NetworkSummary {
            subnet: finished.id.clone(),
            features: finished.subnet.feature_names(&self.space).into_iter().map(str::to_owned).collect(),
            layers: finished.subnet.layer_widths(),
            metrics: trained.fit.metrics.clone(),
            parameters: finished.parameters,
            multiply_adds: finished.multiply_adds,
            onnx: format!("networks/{}/model.onnx", finished.id),
        }
    }

    pub(super) fn round_summary(
        &self,
        round: usize,
        winner: &Trained,
        calibrated: &Calibrated,
    ) -> RoundSummary {
        let engines = calibrated.engines.iter().map(|(&engine, part)| {
            let prediction = EnginePrediction {
                predicted_ms: part.winner.predicted_ms,
                measured_ms: part.winner.measured_ms,
                residual_pct: part.winner.residual_pct,
                noise_pct: part.winner.noise_pct,
                baseline_ms: part.baseline_ms,
                calibration: part.calibration.clone(),
            };
            (engine, prediction)
        });
        RoundSummary {
            round,
            table_version: calibrated.next.version - 1,
            network: self.network_summary(winner),
            engines: engines.collect(),
        }
    }

    pub(super) fn summary(
        &self,
        guide: &Guide,
        baseline: &Trained,
        rounds: Vec<RoundSummary>,
        replays: Replays,
    ) -> Summary {
        let best = RoundSummary::best(&rounds);
        let response = |position: usize| {
            let of = |m: &Vec<Measurement>| m.get(position).map(|m| m.response_us.clone());
            replays.iter().filter_map(|(&engine, m)| Some((engine, of(m)?))).collect()
        };
        let service =
            |of: fn(&EnginePrediction) -> f64| best.engines.iter().map(|(&e, p)| (e, of(p))).collect();
        Summary {
            schema_version: SCHEMA_VERSION,
            teacher: TeacherSummary { metrics: guide.metrics.clone() },
            winner: WinnerSummary {
                round: best.round,
                network: best.network.clone(),
                measured_ms: service(|p| p.measured_ms),
                replay_us: response(0),
            },
            baseline: BaselineSummary {
                network: self.network_summary(baseline),
                measured_ms: service(|p| p.baseline_ms),
                replay_us: response(1),
            },
            rounds,
        }
    }
}

impl fmt::Display for RoundSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let network = &self.network;
        writeln!(
            f,
            "round {}: {} features, layers {:?}, AUC {}",
            self.round,
            network.features.len(),
            network.layers,
            Auc(network.metrics.auc)
        )?;
        writeln!(
            f,
            "  predicted against measured, service time in ms (table v{} → v{}):",
            self.table_version,
            self.table_version + 1
        )?;
        for (engine, p) in &self.engines {
            writeln!(
                f,
                "  {engine:<12} winner {:.3} predicted, {:.3} measured: {:+.1} % (noise {:.1} %)",
                p.predicted_ms, p.measured_ms, p.residual_pct, p.noise_pct
            )?;
            let c = &p.calibration;
            for (set, before, after) in [
                ("fitted on", &c.before.fitted, &c.after.fitted),
                ("never seen", &c.before.held_out, &c.after.held_out),
            ] {
                if let (Some(before), Some(after)) = (before, after) {
                    writeln!(
                        f,
                        "  {:<12} {} networks {set}: {} → {}",
                        "",
                        before.networks,
                        Off(before),
                        Off(after)
                    )?;
                }
            }
        }
        Ok(())
    }
}

struct Auc(Option<f64>);

impl fmt::Display for Auc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(auc) => write!(f, "{auc:.4}"),
            None => f.write_str("undefined"),
        }
    }
}

struct Off<'a>(&'a Agreement);

impl fmt::Display for Off<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} % off (bias {:+.1} %)", self.0.mape_pct, self.0.bias_pct)
    }
}

impl Summary {
    /// The summary as text, with paths from `run`.
    pub fn to_text(&self, run: &Path) -> String {
        let mut text = format!("teacher r(x): AUC {}\n\n", Auc(self.teacher.metrics.auc));
        for round in &self.rounds {
            text += &format!("{round}\n");
        }
        let engines: Vec<EngineName> = self.winner.measured_ms.keys().copied().collect();
        let header: String = engines.iter().map(|e| format!(" {:>20}", format!("{e}, ms"))).collect();
        text += &format!("{:<44} {:>8} {:>9} {:>11}{header}\n", "network", "AUC", "features", "parameters");
        for (name, network, measured) in [
            ("winner", &self.winner.network, &self.winner.measured_ms),
            ("plain DNN", &self.baseline.network, &self.baseline.measured_ms),
        ] {
            let times: String = engines.iter().map(|e| format!(" {:>20.3}", measured[e])).collect();
            text += &format!(
                "{:<44} {:>8} {:>9} {:>11}{times}\n",
                format!("{name} {}", network.subnet),
                Auc(network.metrics.auc).to_string(),
                network.features.len(),
                network.parameters
            );
        }
        for label in self.teacher.metrics.other_labels.keys() {
            let auc = |metrics: &Metrics| Auc(metrics.other_labels.get(label).and_then(|m| m.auc));
            text += &format!(
                "AUC for the label {label}: teacher {}, winner {}, plain DNN {}\n",
                auc(&self.teacher.metrics),
                auc(&self.winner.network.metrics),
                auc(&self.baseline.network.metrics)
            );
        }
        for (name, replays) in [("winner", &self.winner.replay_us), ("plain DNN", &self.baseline.replay_us)] {
            for (engine, response) in replays {
                text += &format!(
                    "response of the {name} under replayed traffic, {engine}: {}\n",
                    Response(response)
                );
            }
        }
        text += &format!("\nfeatures of the winner: {}\n", self.winner.network.features.join(", "));
        text += &format!("ONNX:    {}\n", run.join(&self.winner.network.onnx).display());
        text += &format!("summary: {}\n", run.join("summary.json").display());
        text
    }
}

struct Response<'a>(&'a LatencySummary);

impl fmt::Display for Response<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mean {:.2} ms", self.0.mean / 1e3)?;
        for (name, value) in
            [("p50", self.0.p50), ("p90", self.0.p90), ("p99", self.0.p99), ("p99.9", self.0.p999)]
        {
            if let Some(us) = value {
                write!(f, ", {name} {:.2} ms", us as f64 / 1e3)?;
            }
        }
        Ok(())
    }
}

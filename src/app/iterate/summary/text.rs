//! The summary for people.

use super::{BudgetSummary, Ending, EnginePrediction, MeasuredTime, ReplaySummary, RoundSummary, Summary};
use crate::{
    base::names::EngineName,
    learn::metrics::Metrics,
    price::agreement::{Agreement, Shape},
};
use std::{fmt, path::Path};

/// Widths of the hidden layers, in words where there are none.
pub(in crate::app) fn layers_text(layers: &[usize]) -> String {
    if layers.is_empty() { "none".to_owned() } else { format!("{layers:?}") }
}

impl fmt::Display for RoundSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let network = &self.network;
        writeln!(
            f,
            "round {}: {} features, layers {}, AUC {}",
            self.round,
            network.features.len(),
            layers_text(&network.layers),
            Auc(network.metrics.auc)
        )?;
        writeln!(
            f,
            "  predicted against measured, service time in ms (table v{} → v{}):",
            self.table_version,
            self.table_version + 1
        )?;
        self.engines.iter().try_for_each(|(engine, part)| self.describe(*engine, part, f))?;
        match &self.budget {
            Some(budget @ BudgetSummary { tail: Some(_), .. }) => {
                writeln!(f, "  features and network under load: {budget}")
            }
            _ => Ok(()),
        }
    }
}

impl RoundSummary {
    fn describe(&self, engine: EngineName, p: &EnginePrediction, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (old, new) = (self.table_version, self.table_version + 1);
        let seen = match p.shape {
            Shape::Seen => format!("v{old} had seen this shape"),
            Shape::Unseen => format!("v{old} had never seen this shape"),
        };
        let noise = if p.winner_void { "VOID, noise" } else { "noise" };
        writeln!(
            f,
            "  {engine:<12} winner {:.3} predicted, {:.3} measured: {:+.1} % ({noise} {:.1} %; {seen})",
            p.predicted_ms, p.measured_ms, p.residual_pct, p.noise_pct
        )?;
        let mut line = |text: String| writeln!(f, "  {:<12} {text}", "");
        if !p.void.is_empty() {
            line(format!("too noisy to correct the table or to judge it: {}", p.void.join(", ")))?;
        }
        let c = &p.calibration;
        if let Some(found) = &c.before.unseen {
            line(format!("this round's networks, never seen by v{old}: {}", Off(found)))?;
        }
        if let Some(found) = &c.before.seen {
            line(format!("networks that v{old} had seen: {}", Off(found)))?;
        }
        line(format!("v{new}: {}", c.choice))?;
        if let Some(found) = &c.after.seen {
            line(format!("networks that v{new} has seen: {}", Off(found)))?;
        }
        if let (Some(before), Some(after)) = (&c.before.held_out, &c.after.held_out) {
            line(format!("held out, never seen by v{old} or v{new}: {} → {}", Off(before), Off(after)))?;
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

/// A time with its noise, or with the word that it is worth nothing.
impl fmt::Display for MeasuredTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.void {
            true => write!(f, "{:.3} VOID", self.ms),
            false => write!(f, "{:.3} ±{:.1} %", self.ms, self.noise_pct),
        }
    }
}

struct Off<'a>(&'a Agreement);

impl fmt::Display for Off<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Agreement { networks, mape_pct, bias_pct, .. } = self.0;
        write!(f, "{networks} networks {mape_pct:.1} % off (bias {bias_pct:+.1} %)")
    }
}

impl Summary {
    /// A line per round and engine: budget, predicted, measured, residual, features, layers, AUC.
    fn rounds_text(&self) -> String {
        let mut text = format!(
            "{:<6}{:<13}{:>10}{:>13}{:>13}{:>12}{:>9}{:>9}{:>9}  layers\n",
            "round",
            "engine",
            "budget ms",
            "predicted ms",
            "measured ms",
            "residual %",
            "noise %",
            "features",
            "AUC"
        );
        for round in &self.rounds {
            let budget = round.budget.map_or("-".to_owned(), |budget| format!("{:.3}", budget.budget_ms));
            let network = &round.network;
            for (engine, p) in &round.engines {
                text += &format!(
                    "{:<6}{:<13}{budget:>10}{:>13.3}{:>13.3}{:>12}{:>9}{:>9}{:>9}  {:?}\n",
                    round.round,
                    engine.to_string(),
                    p.predicted_ms,
                    p.measured_ms,
                    format!("{:+.1}", p.residual_pct),
                    if p.winner_void { "VOID".to_owned() } else { format!("{:.1}", p.noise_pct) },
                    network.features.len(),
                    Auc(network.metrics.auc).to_string(),
                    network.layers
                );
            }
        }
        text + match self.ended {
            Ending::Converged => "the winner stays the same and is predicted within the noise\n",
            Ending::Limit => "as many rounds as rounds.count allows\n",
        }
    }

    /// The summary as text, with paths from `run`.
    pub fn to_text(&self, run: &Path) -> String {
        let mut text = format!("teacher r(x): AUC {}\n\n", Auc(self.teacher.metrics.auc));
        for round in &self.rounds {
            text += &format!("{round}\n");
        }
        text += &format!("{}\n", self.rounds_text());
        let engines: Vec<EngineName> = self.winner.service.keys().copied().collect();
        let header: String = engines.iter().map(|e| format!(" {:>20}", format!("{e}, ms"))).collect();
        text += &format!("{:<44} {:>8} {:>9} {:>11}{header}\n", "network", "AUC", "features", "parameters");
        for (name, network, measured) in [
            ("winner", &self.winner.network, &self.winner.service),
            ("plain DNN", &self.baseline.network, &self.baseline.service),
        ] {
            let times: String = engines.iter().map(|e| format!(" {:>20}", measured[e].to_string())).collect();
            text += &format!(
                "{:<44} {:>8} {:>9} {:>11}{times}\n",
                format!("{name} {}", network.subnet),
                Auc(network.metrics.auc).to_string(),
                network.features.len(),
                network.parameters
            );
        }
        if let Some(budget) = &self.winner.budget {
            text += &format!("features and network of the winner: {budget}\n");
        }
        for (&engine, probes) in &self.probes {
            text += &probes.doubt(engine);
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
        for (name, replays) in [("winner", &self.winner.replays), ("plain DNN", &self.baseline.replays)] {
            for (engine, replay) in replays {
                text += &format!("response of the {name} under replayed traffic, {engine}: {replay}\n");
            }
        }
        text += &format!("\nfeatures of the winner: {}\n", self.winner.network.features.join(", "));
        text += &format!("ONNX:    {}\n", run.join(&self.winner.network.onnx).display());
        text += &format!("summary: {}\n", run.join("summary.json").display());
        text
    }
}

impl fmt::Display for ReplaySummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let response = &self.response_us;
        match response.mean {
            Some(us) => write!(f, "mean {:.2} ms", us / 1e3)?,
            None => f.write_str("no request was answered")?,
        }
        for (name, value) in
            [("p50", response.p50), ("p90", response.p90), ("p99", response.p99), ("p99.9", response.p999)]
        {
            if let Some(us) = value {
                write!(f, ", {name} {:.2} ms", us as f64 / 1e3)?;
            }
        }
        if let Some(ms) = self.expected_service_ms {
            write!(f, "; the table expects a service time of {ms:.2} ms")?;
        }
        if let Some(offered) = self.offered_qps {
            write!(f, "; offered {offered:.1}, answered {:.1} per second", self.answered_qps)?;
        }
        if !self.valid {
            write!(f, "; NOT VALID after {} replays: {}", self.runs, self.reasons.join("; "))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::latency::LatencySummary;

    #[test]
    fn a_time_is_said_with_its_noise_or_that_it_is_void() {
        let time = |noise_pct, void| MeasuredTime { ms: 1.25, noise_pct, void }.to_string();
        assert_eq!(time(0.84, false), "1.250 ±0.8 %");
        assert_eq!(time(7.0, true), "1.250 VOID");
    }

    #[test]
    fn a_replay_that_may_not_be_believed_says_so_with_its_reasons() {
        let mut replay = ReplaySummary {
            valid: true,
            reasons: vec![],
            runs: 1,
            offered_qps: Some(50.0),
            answered_qps: 49.0,
            response_us: LatencySummary { p50: Some(1500), mean: Some(2000.0), ..LatencySummary::default() },
            expected_service_ms: Some(1.254),
        };
        let text = "mean 2.00 ms, p50 1.50 ms; the table expects a service time of 1.25 ms; offered 50.0, answered 49.0 per second";
        assert_eq!(replay.to_string(), text);
        (replay.valid, replay.runs, replay.reasons) = (false, 2, vec!["the generator was late".to_owned()]);
        assert_eq!(replay.to_string(), format!("{text}; NOT VALID after 2 replays: the generator was late"));
    }
}

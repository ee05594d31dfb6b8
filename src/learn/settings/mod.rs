//! Settings of everything that is trained, with the defaults of the experiment file. Equation numbers are those of
//! the AutoFAS paper.

mod derive;
mod evolution;
mod finals;
mod ranking;
mod schedule;
mod search;
mod train;

pub use derive::{Budget, DeriveSettings};
pub use evolution::EvolutionSettings;
pub use finals::FinalsSettings;
pub use ranking::{ColdSettings, FscdSettings, JudgeSettings, Measure, PermutationSettings, Replacement};
pub use schedule::{Annealing, RateSchedule, RateShape};
pub use search::{Gate, GradientBlock, Multiplier, Paths, PriceFirstLayer, SearchSettings};
pub use train::{
    BaselineSettings, DistillationLoss, InputColumns, RetrainSettings, RowRule, ScoreForm, TeacherSettings,
    TrainSettings, TwoTowerSettings,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_within_their_ranges() {
        TeacherSettings::default().check().unwrap();
        SearchSettings::default().check().unwrap();
        DeriveSettings::default().check().unwrap();
        EvolutionSettings::default().check().unwrap();
        FinalsSettings::default().check().unwrap();
        RetrainSettings::default().check().unwrap();
        BaselineSettings::default().check().unwrap();
        JudgeSettings::default().check().unwrap();
        PermutationSettings::default().check().unwrap();
        ColdSettings::default().check().unwrap();
        FscdSettings::default().check().unwrap();
        TwoTowerSettings::default().check().unwrap();
    }

    #[test]
    fn latency_is_paid_in_full_after_the_ramp_and_not_before() {
        let share = |ramp, epochs| {
            SearchSettings { lambda_ramp_epochs: ramp, ..Default::default() }.lambda_share(epochs)
        };
        assert_eq!([0.0, 0.125, 0.5, 3.0].map(|epochs| share(0.5, epochs)), [0.0, 0.25, 1.0, 1.0]);
        assert_eq!(share(0.0, 0.0), 1.0);
    }

    #[test]
    fn a_violation_names_its_key() {
        let dropped = TeacherSettings {
            train: TrainSettings { dropout: 1.0, ..Default::default() },
            ..Default::default()
        };
        assert_eq!(dropped.check().unwrap_err().key, "dropout");
        let schedule = Annealing::Geometric;
        let relaxed = Gate::Relaxed { start_temperature: 1.0, end_temperature: 0.0, schedule };
        let smoothed = Gate::SmoothedL0 { start_epsilon: 0.1, end_epsilon: 0.0, schedule };
        for (gate, key) in [(relaxed, "gate.end_temperature"), (smoothed, "gate.end_epsilon")] {
            let cold = SearchSettings { gate, ..Default::default() };
            assert_eq!(cold.check().unwrap_err().key, key);
        }
        let alpha_schedule = RateSchedule { begin: 1.0, ..RateSchedule::CONSTANT };
        let resting = SearchSettings { alpha_schedule, ..Default::default() };
        assert_eq!(resting.check().unwrap_err().key, "alpha_schedule.begin");
        let alone = RetrainSettings { longest_list: 1, ..Default::default() };
        assert_eq!(alone.check().unwrap_err().key, "longest_list");
        for theta_start in [0.0, 1.0] {
            let stuck = SearchSettings { theta_start, ..Default::default() };
            assert_eq!(stuck.check().unwrap_err().key, "theta_start");
        }
    }
}

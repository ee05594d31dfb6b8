//! Whether a launcher started this process as one of several.

/// Says the size of a job: Open MPI's own launcher and those that speak PMI.
const SIZES: [&str; 2] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"];
/// Launchers that speak PMIx name the rank in the environment; the size Slurm alone says there.
const PMIX: [&str; 2] = ["PMIX_RANK", "SLURM_STEP_NUM_TASKS"];

/// Whether this process is one of a job of several, or of a job whose size the launcher does not say. `variable` reads the
/// environment.
pub(super) fn launched(variable: impl Fn(&str) -> Option<String>) -> bool {
    let number = |name: &str| variable(name).and_then(|text| text.trim().parse::<usize>().ok());
    let is_pmix = variable(PMIX[0]).is_some();
    let size = SIZES.into_iter().find_map(&number).or_else(|| number(PMIX[1]).filter(|_| is_pmix));
    size.map_or(is_pmix, |size| size > 1)
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_launcher_of_several_processes_is_seen_and_one_process_is_not() {
        let launched = |said: &[(&str, &str)]| {
            let of =
                |name: &str| said.iter().find(|(own, _)| *own == name).map(|(_, value)| value.to_string());
            super::launched(of)
        };
        assert!(!launched(&[]));
        for size in ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"] {
            assert!(launched(&[(size, "4")]) && !launched(&[(size, "1")]));
        }
        let slurm = |size| [("PMIX_RANK", "0"), ("SLURM_STEP_NUM_TASKS", size)];
        assert!(launched(&slurm("4")) && !launched(&slurm("1")));
        assert!(launched(&[("PMIX_RANK", "0")]), "of an unknown number");
        assert!(!launched(&[("SLURM_STEP_NUM_TASKS", "4")]), "copies that do not know of each other");
    }
}

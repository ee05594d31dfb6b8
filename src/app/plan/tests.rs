use super::*;

fn seconds(least_s: f64, most_s: impl Into<Option<f64>>) -> Seconds {
    Seconds { least_s, most_s: most_s.into() }
}

#[test]
fn the_sum_is_over_what_is_left_and_a_bound_only_where_every_step_has_one() {
    let trained = Step::between("train", Unit::Training, 2, Some(4)).done(1).each(Some(seconds(10.0, 30.0)));
    assert_eq!(trained.seconds, Some(seconds(10.0, 90.0)));
    let plan = |steps: Vec<Step>| {
        let draft = Draft { steps, ..Draft::default() };
        draft.plan("iterate", Path::new("nowhere"), OutState::New)
    };
    let time =
        plan(vec![trained.clone(), Step::times("probe", Unit::Model, 3).each(Some(seconds(1.0, 2.0)))]).time;
    assert_eq!((time.least_s, time.most_s, time.without), (13.0, Some(96.0), vec![]));
    let judged = Step::between("judge", Unit::Training, 3, None).each(Some(seconds(5.0, 9.0)));
    assert_eq!(judged.seconds, Some(seconds(15.0, None)));
    assert_eq!(plan(vec![trained.clone(), judged]).time.most_s, None);
    let evolved = Step::times("evolve", Unit::Model, 1);
    let time = plan(vec![trained.clone(), evolved.clone()]).time;
    assert_eq!((time.least_s, time.most_s, time.without), (10.0, None, vec!["evolve".to_owned()]));
    // What is done needs no time.
    let time = plan(vec![trained, evolved.done(1)]).time;
    assert_eq!((time.most_s, time.without.len()), (Some(90.0), 0));
}

#[test]
fn a_finished_run_has_nothing_left_to_do() {
    let mut draft = Draft { steps: vec![Step::times("train", Unit::Training, 1)], ..Draft::default() };
    draft.writes(1 << 20, "weights");
    let plan = draft.plan("iterate", Path::new("nowhere"), OutState::Finished);
    assert_eq!((plan.steps.len(), plan.disk.least_bytes, plan.time.least_s), (0, 0, 0.0));
}

#[test]
fn a_disk_that_is_too_small_is_named() {
    let mut draft = Draft::default();
    draft.writes(1 << 60, "weights");
    draft.writes(1 << 10, "tables");
    let plan = draft.plan("iterate", Path::new("runs/first"), OutState::New);
    assert_eq!((plan.disk.least_bytes, plan.disk.basis.as_str()), ((1 << 60) + (1 << 10), "weights, tables"));
    assert_eq!(plan.notes.len(), usize::from(plan.disk.free_bytes.is_some()));
    assert!(
        plan.notes.iter().all(|note| note.contains("runs/first: name a folder on another disk")),
        "{:?}",
        plan.notes
    );
}

#[test]
fn a_plan_reads_as_sentences() {
    let mut draft = Draft::default();
    draft.has_read("data", "log.csv", "300 rows");
    draft.steps = vec![
        Step::times("train the teacher", Unit::Training, 1)
            .epochs(6)
            .rows(200)
            .each(Some(seconds(2.0, 75.0))),
        Step::between("judge", Unit::Training, 3, None).each(Some(seconds(4.0, None))),
        Step::times("replay", Unit::Replay, 4).rows(500).done(1).each(Some(seconds(10.0, 10.0))),
        Step::times("breed", Unit::Model, 1),
    ];
    let text = draft.plan("iterate", Path::new("runs/first"), OutState::New).to_string();
    for line in [
        "iterate would write runs/first, which is not there yet; nothing was written now",
        "read     data log.csv: 300 rows",
        "do       train the teacher: 1 training, at most 6 epochs of 200 rows (2.0 s to 1 min 15 s)",
        "do       judge: 3 or more trainings (at least 12 s)",
        "do       replay: 4 passes of 500 requests, 1 done before (about 30 s)",
        "do       breed: 1 model",
        "time     at least 44 s, and what takes as long as it takes: breed",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

#[test]
fn what_takes_no_time_and_what_nothing_tells_the_time_of_are_told_in_words() {
    let told = |least_s, most_s: Option<f64>| seconds(least_s, most_s).to_string();
    assert_eq!(told(0.0, None), "a moment or more");
    assert_eq!([told(0.0, Some(0.01)), told(0.02, Some(3.0))], ["under 0.1 s", "up to 3.0 s"]);
    let steps = vec![Step::between("replay", Unit::Replay, 3, None)];
    let mut draft = Draft { steps, ..Draft::default() };
    draft.writes(0, "results");
    let plan = draft.plan("replay", None, OutState::New);
    assert!(plan.time.least_s.is_sign_positive());
    let text = plan.to_string();
    assert!(text.contains("time     unknown, for these take as long as they take: replay\n"), "{text}");
    assert!(text.contains("disk     little of ") && text.contains("free: results\n"), "{text}");
}

#[test]
fn times_are_told_in_their_two_largest_units() {
    let told = [0.04, 9.9, 44.6, 59.4, 200.0, 3600.0, 7500.0].map(span);
    assert_eq!(told, ["under 0.1 s", "9.9 s", "45 s", "59 s", "3 min 20 s", "1 h 0 min", "2 h 5 min"]);
}

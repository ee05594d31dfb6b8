//! Probings that go on: where they were stopped, and into a finished table.

use super::*;

fn measured<'a>(
    asked: &'a RefCell<Vec<ProbeGroup>>,
    stop_at: usize,
) -> impl Fn(&ProbePlan, &ProbeGroup, &ServiceSettings, Option<f64>) -> Result<Probed> + 'a {
    move |plan, group, settings, _| {
        if asked.borrow().len() == stop_at {
            return Err(Error::usage("stopped", "go on"));
        }
        asked.borrow_mut().push(group.clone());
        CLOSED.probed(plan, group, settings)
    }
}

fn resume(request: &ProbeRequest, measure: MeasureGroup) -> Result<LatencyTable> {
    probe_with(request, Begin::WhereItStopped, measure, &Silent, &Stop::never())
}

#[test]
fn a_finished_table_takes_up_what_it_lacks_and_nothing_is_measured_twice() {
    let folder = tempfile::tempdir().unwrap();
    let whole = request(&folder.path().join("t.json"), &[EngineName::Tract, EngineName::Null]);
    let plan = |candidates: &[usize], mixops: &[&[usize]]| {
        let space = space_of(space().features, mixops);
        let networks = Networks { fitted: 16, held_out: 12 };
        let rows = vec![10; space.features.len()];
        ProbePlan::for_space(&space, &rows, Layout::UserOnce, candidates, networks, 1).unwrap()
    };
    let narrow: &[&[usize]] = &[&[64, 16, 0], &[64, 16, 0]];
    let mut first = whole.clone();
    (first.plan, first.settings) = (plan(&[100], narrow), whole.settings[..1].to_vec());
    let before = probed(&first, CLOSED);
    // Another count and another engine.
    let asked = RefCell::new(Vec::new());
    let mut wider = whole.clone();
    wider.plan = plan(&[100, 300], narrow);
    let stopped = resume(&wider, &measured(&asked, 1)).unwrap_err();
    assert!(stopped.to_string().contains("stopped"), "{stopped}");
    let table = resume(&wider, &measured(&asked, usize::MAX)).unwrap();
    let groups = wider.plan.groups(1);
    let known = groups.iter().filter(|group| group.candidates == 100).count();
    assert_eq!(asked.borrow().len(), 2 * groups.len() - known);
    assert_eq!((table.version, table.parents.as_slice()), (2, &[before.id()][..]));
    assert_eq!(table.buckets.len(), 4);
    let old = table.bucket(&before.buckets[0].context, 100).unwrap();
    assert_eq!(old.entries, before.buckets[0].entries);
    assert_eq!(table, LatencyTable::load(&wider.out).unwrap());
    assert!(table.origins.iter().all(|origin| origin.inputs.is_some()), "{:?}", table.origins);
    // Another layer width: only what has it is measured.
    asked.borrow_mut().clear();
    let mut deeper = wider.clone();
    deeper.plan = plan(&[100, 300], &[&[64, 32, 16, 0], &[64, 16, 0]]);
    resume(&deeper, &measured(&asked, usize::MAX)).unwrap();
    let old_layer = |subject: &Subject| {
        matches!(subject, Subject::Layer(_) | Subject::Grid { .. }) && wider.plan.subjects.contains(subject)
    };
    let again = |group: &ProbeGroup| group.subjects.iter().any(|&at| old_layer(&deeper.plan.subjects[at]));
    assert!(!asked.borrow().is_empty() && !asked.borrow().iter().any(again));
    asked.borrow_mut().clear();
    resume(&deeper, &measured(&asked, 0)).unwrap();
}

#[test]
fn what_does_not_go_with_a_finished_table_is_refused_before_it_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let request = request(&folder.path().join("t.json"), &[EngineName::Tract]);
    probed(&request, CLOSED);
    let asked = RefCell::new(Vec::new());
    let refused = |cardinality: usize, seed: u64| {
        let space = space();
        let rows = vec![cardinality; space.features.len()];
        let networks = Networks { fitted: 16, held_out: 12 };
        let mut other = request.clone();
        other.plan = ProbePlan::for_space(&space, &rows, Layout::UserOnce, &[100], networks, seed).unwrap();
        resume(&other, &measured(&asked, usize::MAX)).unwrap_err().to_string()
    };
    assert!(refused(11, 1).contains("--cardinality"));
    let plan = |seed| {
        let space = space();
        let rows = vec![10; space.features.len()];
        ProbePlan::for_space(&space, &rows, Layout::UserOnce, &[100], Networks::NONE, seed).unwrap()
    };
    let other = (2..99).find(|&seed| plan(seed).gathered() != request.plan.gathered()).unwrap();
    let other_sets = refused(10, other);
    assert!(other_sets.contains("seeds.probe") && other_sets.contains("another file"), "{other_sets}");
    assert!(asked.borrow().is_empty());
}

#[test]
fn a_probing_goes_on_only_where_it_was_begun_and_with_the_time_that_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let mut request = request(&folder.path().join("t.json"), &[EngineName::Tract]);
    let asked = RefCell::new(Vec::new());
    assert!(probe_with(&request, Begin::Anew, &measured(&asked, 2), &Silent, &Stop::never()).is_err());
    let kept = folder.path().join("t.partial.json");
    let edit = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut value: serde_json::Value = fsio::read_json(&kept).unwrap();
        change(&mut value);
        fsio::write_json(&kept, &value).unwrap();
    };
    // As if it had taken 400 of its 600 seconds.
    assert!(fsio::read_json::<serde_json::Value>(&kept).unwrap()["spent_s"].as_f64().unwrap() > 0.0);
    edit(&|value| value["spent_s"] = 400.0.into());
    let limits = RefCell::new(Vec::new());
    let stops = |plan: &ProbePlan, group: &ProbeGroup, settings: &ServiceSettings, limit: Option<f64>| {
        limits.borrow_mut().push(limit.unwrap());
        if limits.borrow().len() == 2 {
            return Err(Error::usage("stopped", "go on"));
        }
        CLOSED.probed(plan, group, settings)
    };
    assert!(resume(&request, &stops).is_err());
    let expected_s = expected_s(&request);
    let share = MEASURING_SHARE * share_s(200.0, expected_s[2], expected_s[2..].iter().sum());
    let found = limits.borrow()[0];
    assert!(0.5 * share < found && found <= share, "{found} s of {share} s, its share of what is left");
    assert!(fsio::read_json::<serde_json::Value>(&kept).unwrap()["spent_s"].as_f64().unwrap() > 400.0);

    let shard = request.shard;
    request.shard = Some("1/2".parse().unwrap());
    let other_part = resume(&request, &measured(&asked, 99)).unwrap_err().to_string();
    assert!(other_part.contains("measured otherwise") && other_part.contains("without --resume"));
    request.shard = shard;
    edit(&|value| value["how"]["engines"][0]["context"]["host"] = "elsewhere".into());
    let foreign = resume(&request, &measured(&asked, 99)).unwrap_err().to_string();
    assert!(foreign.contains("on host elsewhere") && foreign.contains("without --resume"), "{foreign}");
}

#[test]
fn what_was_added_to_a_finished_table_is_given_up_without_giving_up_the_table() {
    let folder = tempfile::tempdir().unwrap();
    let mut request = request(&folder.path().join("t.json"), &[EngineName::Tract]);
    let plan = |candidates: &[usize]| {
        let (space, networks) = (space(), Networks { fitted: 16, held_out: 12 });
        let rows = vec![10; space.features.len()];
        ProbePlan::for_space(&space, &rows, Layout::UserOnce, candidates, networks, 1).unwrap()
    };
    request.plan = plan(&[100]);
    let table = probed(&request, CLOSED);
    let asked = RefCell::new(Vec::new());
    request.plan = plan(&[100, 300]);
    resume(&request, &measured(&asked, 1)).unwrap_err();
    let kept = folder.path().join("t.partial.json");
    request.plan = plan(&[100, 1000]);
    let refused = |expected: &str| {
        let said = resume(&request, &measured(&asked, usize::MAX)).unwrap_err().to_string();
        let advice = format!("or remove {}: {} stays", kept.display(), request.out.display());
        assert!(said.contains(expected) && said.contains(&advice), "{said}");
        assert!(!said.contains("without --resume"), "{said}");
    };
    refused("measured otherwise");
    // Of another version, whose fields nobody knows.
    fsio::write(&kept, br#"{"schema_version": 2, "what": "ever"}"#).unwrap();
    refused("is 2, this program reads 3");
    assert_eq!(LatencyTable::load(&request.out).unwrap(), table);
    fsio::remove(&kept).unwrap();
    assert_eq!(resume(&request, &measured(&asked, usize::MAX)).unwrap().parents, [table.id()]);
}

#[test]
fn what_is_given_up_by_beginning_anew_is_not_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let request = request(&folder.path().join("t.json"), &[EngineName::Tract]);
    let asked = RefCell::new(Vec::new());
    let anew = |stop_at: usize| {
        probe_with(&request, Begin::Anew, &measured(&asked, stop_at), &Silent, &Stop::never()).unwrap_err()
    };
    anew(2);
    // Stopped in its first group.
    anew(2);
    asked.borrow_mut().clear();
    resume(&request, &measured(&asked, usize::MAX)).unwrap();
    assert_eq!(asked.borrow().len(), request.plan.groups(1).len(), "all of it is measured");
}

use super::*;
use crate::{
    base::names::Layout,
    data::{
        dataset::{EncodedFeature, Slot},
        ids::Ids,
    },
    export::signature::{Content, ElementType, Field, Rows, TensorSpec},
    measure::{
        engine::TensorData,
        replay::{
            arrivals::Arrivals,
            make::{DataHashes, ListLength, Order, TraceRecipe, plan},
            trace::Request,
        },
    },
};

/// Rows (user, item): (1, 10), (1, 11), (2, 10), (1, 10). Ids of row r: user 1 + r, item 10 + r, pair 20 + r.
fn data() -> Dataset {
    let feature = |name: &str, start| EncodedFeature {
        name: name.into(),
        slot: Slot::Ids { start, length: 1 },
        cardinality: 100,
    };
    Dataset {
        features: vec![feature("u", 0), feature("i", 1), feature("x", 2)],
        ids: Ids::from_rows(3, &(0..4).flat_map(|r| [1 + r, 10 + r, 20 + r]).collect::<Vec<_>>()),
        labels: vec![0.0; 4].into(),
        user_keys: Some(vec![1, 1, 2, 1].into()),
        item_keys: Some(vec![10, 11, 10, 10].into()),
        ..Dataset::default()
    }
}

fn schema() -> Schema {
    let feature = |name: &str, kind: &str| {
        format!(
            "[[feature]]\nname = \"{name}\"\nkind = \"{kind}\"\nsource = \"matching\"\ntype = \"categorical\"\n\
             encoding = \"hash\"\nbuckets = 99\nwidth = 4\nfetch_ms = 0.1\n"
        )
    };
    let text = [("u", "user"), ("i", "item"), ("x", "interactive")].map(|(n, k)| feature(n, k)).concat();
    Schema::parse(&format!("[data]\nlabel = \"y\"\n{text}"), "s.toml".as_ref()).unwrap()
}

fn signature() -> Signature {
    let tensor = |name: &str, rows, features: &[&str]| TensorSpec {
        name: name.into(),
        rows,
        element: ElementType::I64,
        content: Content::Values,
        fields: features
            .iter()
            .map(|f| Field { feature: (*f).into(), columns: 1, cardinality: 100 })
            .collect(),
    };
    Signature {
        layout: Layout::UserOnce,
        tensors: vec![
            tensor("user_ids", Rows::One, &["u"]),
            tensor("item_ids", Rows::Candidates, &["i", "x"]),
        ],
    }
}

fn resolved(user: u64, candidates: &[u64]) -> Result<ResolvedTrace> {
    resolved_from(&data(), user, candidates)
}

fn resolved_from(data: &Dataset, user: u64, candidates: &[u64]) -> Result<ResolvedTrace> {
    // A request before it, so that its part does not begin at 0.
    let requests = [(2, vec![11]), (user, candidates.to_vec())];
    let request = |(user, candidates)| Ok(Request { arrival_us: 0, id: 7, user, candidates });
    ResolvedTrace::new("t.jsonl".as_ref(), requests.map(request), data)
}

fn ids(user: u64, candidates: &[u64]) -> Vec<Vec<i64>> {
    let (data, schema) = (data(), schema());
    let resolved = resolved(user, candidates).unwrap();
    let workload = TraceWorkload::new(&resolved, &data, &schema, &signature(), &Lookups::default()).unwrap();
    let mut inputs = workload.inputs();
    workload.prepare(1, &mut inputs).unwrap();
    assert_eq!((workload.requests(), inputs.candidates), (2, candidates.len()));
    let ids = |tensor: &crate::measure::engine::InputTensor| match &tensor.data {
        TensorData::I64(ids) => ids.clone(),
        _ => panic!("ids expected"),
    };
    inputs.tensors.iter().map(ids).collect()
}

#[test]
fn values_come_from_the_last_row_of_user_item_and_pair() {
    // User 1 was last in row 3, item 10 in row 3, item 11 in row 1; the pairs were last seen there as well.
    assert_eq!(ids(1, &[11, 10]), [vec![4], vec![11, 21, 13, 23]]);
}

#[test]
fn a_pair_that_the_log_never_saw_is_missing_and_an_older_pair_keeps_its_own_row() {
    // User 2 saw item 10 in row 2, which is not the item's last row, and never saw item 11.
    assert_eq!(ids(2, &[10, 11]), [vec![3], vec![13, 22, 11, 0]]);
}

#[test]
fn lists_hold_every_candidate_of_every_request_and_unseen_pairs_are_missing() {
    let data = Dataset { partitions: vec![5, 6, 7, 8].into(), partition_count: 9, ..data() };
    let resolved = resolved_from(&data, 2, &[10, 11]).unwrap();
    let (lists, requests) = resolved.lists(&data, &["u"], &["x"]);
    assert_eq!(requests, [0, 1, 1]);
    let ids: Vec<u32> = (0..3).flat_map(|row| lists.ids.of_row(row)).collect();
    // Both requests are user 2's, who is in row 2 and never saw item 11.
    assert_eq!(ids, [3, 11, 0, 3, 12, 22, 3, 11, 0]);
    assert_eq!((&*lists.partitions, lists.partition_count), (&[7, 7, 7][..], 9));
    assert_eq!((lists.rows(), &*lists.weights), (3, &[1.0; 3][..]));
}

#[test]
fn a_request_is_repeated_or_cut_to_the_wanted_number_of_candidates() {
    let (data, schema) = (data(), schema());
    let resolved = resolved(1, &[11, 10]).unwrap();
    let workload = TraceWorkload::new(&resolved, &data, &schema, &signature(), &Lookups::default()).unwrap();
    let mut inputs = Inputs::default();
    for (count, expected) in [(1, vec![11, 21]), (3, vec![11, 21, 13, 23, 11, 21])] {
        workload.prepare_as(1, count, &mut inputs);
        assert_eq!((inputs.candidates, &inputs.tensors[1].data), (count, &TensorData::I64(expected)));
    }
}

#[test]
fn unknown_keys_are_named() {
    for (found, expected) in
        [(resolved(9, &[10]), "t.jsonl: request 7 asks for user 9"), (resolved(1, &[10, 12]), "candidate 12")]
    {
        let error = found.unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("trace make"), "{error}");
    }
    let keyless = Dataset { item_keys: None, ..data() };
    assert!(request_log(&keyless, None).unwrap_err().to_string().contains("item_key"));
}

#[test]
fn an_id_beyond_its_table_is_found_before_any_engine_sees_it() {
    let mut damaged = data();
    // The row at 3 is the last of user 1 and of item 10, that at 0 is nobody's.
    let ids = |r: u32| [1 + r, 10 + r, if r == 3 || r == 0 { 100 } else { 20 + r }];
    damaged.ids = Ids::from_rows(3, &(0..4).flat_map(ids).collect::<Vec<_>>());
    let error = resolved_from(&damaged, 1, &[11]).unwrap_err().to_string();
    assert!(error.contains("row 4") && error.contains("id 100 of `x`"), "{error}");
    assert!(resolved_from(&damaged, 2, &[11]).is_ok());
}

#[test]
fn the_chosen_rows_ask_and_the_items_of_all_rows_pad() {
    let recipe = TraceRecipe {
        arrivals: Arrivals::Poisson { qps: 1.0 },
        requests: 3,
        order: Order::Log,
        length: ListLength::Fixed(2),
        seed: 1,
    };
    // Row 2 alone asks: user 2 for item 10; item 11 is in other rows only.
    let log = request_log(&data(), Some(&[2])).unwrap();
    for request in plan(log, &recipe, DataHashes::default()).unwrap().requests() {
        assert_eq!((request.user, request.candidates), (2, vec![10, 11]));
    }
    assert_eq!(request_log(&data(), None).unwrap().items(), 2);
}

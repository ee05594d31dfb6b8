use super::*;
use crate::{
    base::{Error, names::Layout},
    data::{dataset::EncodedFeature, ids::Ids},
    export::signature::TensorSpec,
    learn::network::Embedding,
};

/// Three rows of: `u` (user), `i` (item), `list` (item, two ids), `pair` (interactive), and a number of the pair.
fn data() -> Dataset {
    let id = |name: &str, start, length| EncodedFeature {
        name: name.to_owned(),
        slot: Slot::Ids { start, length },
        cardinality: 100,
    };
    Dataset {
        features: vec![
            id("u", 0, 1),
            id("i", 1, 1),
            id("list", 2, 2),
            id("pair", 4, 1),
            EncodedFeature { name: "x".to_owned(), slot: Slot::Number { index: 0 }, cardinality: 0 },
        ],
        number_slots: 1,
        ids: Ids::from_rows(5, &[1, 11, 21, 31, 41, 2, 12, 22, 32, 42, 1, 13, 23, 33, 43]),
        numbers: vec![0.5, 1.5, 2.5].into(),
        labels: vec![0.0; 3].into(),
        ..Dataset::default()
    }
}

fn field(feature: &str, columns: usize, cardinality: u32) -> Field {
    Field { feature: feature.to_owned(), columns, cardinality }
}

fn tensor(name: &str, rows: Rows, element: ElementType, fields: Vec<Field>) -> TensorSpec {
    TensorSpec { name: name.to_owned(), rows, element, content: Content::Values, fields }
}

fn signature() -> Signature {
    let items = vec![field("i", 1, 100), field("list", 2, 100), field("pair", 1, 100)];
    Signature {
        layout: Layout::UserOnce,
        tensors: vec![
            tensor("user_ids", Rows::One, ElementType::I64, vec![field("u", 1, 100)]),
            tensor("item_ids", Rows::Candidates, ElementType::I64, items),
            tensor("item_num", Rows::Candidates, ElementType::F32, vec![field("x", 1, 0)]),
        ],
    }
}

fn schema() -> Schema {
    let feature = |name: &str, kind: &str| {
        serde_json::json!({"name": name, "column": name, "kind": kind, "source": "store", "fetch_group": null,
            "refresh": "static", "encoding": {"encoding": "standardize"}, "sequence": null, "width": 8,
            "fetch_ms": 0.0, "must_keep": false, "never": false})
    };
    let kinds =
        [("u", "context"), ("i", "item"), ("list", "item"), ("pair", "interactive"), ("x", "interactive")];
    serde_json::from_value(serde_json::json!({
        "features": kinds.map(|(name, kind)| feature(name, kind)),
        "label": "y", "other_labels": [], "fetch_candidates": 1, "beta_ms": 0.0, "gamma_ms": 0.0
    }))
    .unwrap()
}

fn ids(inputs: &Inputs, tensor: usize) -> &[i64] {
    match &inputs.tensors[tensor].data {
        TensorData::I64(ids) => ids,
        _ => panic!("not ids"),
    }
}

#[test]
fn a_request_takes_each_value_from_the_row_of_its_kind() {
    let data = data();
    let assembler = Assembler::new(&signature(), &data, &schema()).unwrap();
    let mut inputs = assembler.inputs();
    let candidates = [Candidate::new(0, Some(2)), Candidate::new(2, None)];
    // Twice, so that left-overs of the first filling would show.
    for _ in 0..2 {
        assembler.fill(&data, 1, &candidates, &mut inputs);
        assert_eq!(inputs.candidates, 2);
        assert_eq!(ids(&inputs, 0), [2]);
        assert_eq!(ids(&inputs, 1), [11, 21, 31, 43, 13, 23, 33, 0]);
        assert_eq!(inputs.tensors[1].shape, [2, 4]);
        let TensorData::F32(numbers) = &inputs.tensors[2].data else { panic!("not numbers") };
        assert!(numbers[0] == 2.5 && numbers[1].is_nan(), "{numbers:?}");
    }
}

#[test]
fn the_user_is_repeated_where_the_layout_has_one_tensor() {
    let data = data();
    let fields = vec![field("u", 1, 100), field("i", 1, 100)];
    let signature = Signature {
        layout: Layout::Concat,
        tensors: vec![tensor("ids", Rows::Candidates, ElementType::I64, fields)],
    };
    let assembler = Assembler::new(&signature, &data, &schema()).unwrap();
    let mut inputs = assembler.inputs();
    assembler.fill(&data, 1, &[0, 2].map(Candidate::of_row), &mut inputs);
    assert_eq!(ids(&inputs, 0), [2, 11, 2, 13]);
    assert_eq!(assembler.batches(&data, &[2, 0, 1]), [[0, 1, 2]]);
}

#[test]
fn logged_rows_share_a_batch_when_their_user_side_is_equal() {
    let data = data();
    let assembler = Assembler::by_row(&signature(), &data, &Lookups::default()).unwrap();
    assert_eq!(assembler.batches(&data, &[0, 1, 2]), [vec![0, 2], vec![1]]);
}

#[test]
fn data_that_does_not_fit_the_graph_is_refused() {
    let mut cases = Vec::new();
    for (feature, columns, cardinality) in [("gone", 1, 100), ("list", 3, 100), ("i", 1, 99), ("x", 1, 100)] {
        let mut signature = signature();
        signature.tensors[1].fields[0] = field(feature, columns, cardinality);
        cases.push((feature, signature));
    }
    for (feature, signature) in cases {
        let text = Assembler::by_row(&signature, &data(), &Lookups::default()).unwrap_err().to_string();
        assert!(text.contains(&format!("`{feature}`")), "{text}");
    }
}

/// The value of `pair` comes as the vector of its id: [id, −id].
#[test]
fn vectors_come_from_tables_beside_the_model_and_an_unseen_pair_has_that_of_a_missing_value() {
    let data = data();
    let rows: Vec<f32> = (0..100u8).flat_map(|id| [f32::from(id), -f32::from(id)]).collect();
    let table = |embedding| {
        let (feature, width) = ("pair".to_owned(), 2);
        Arc::new(NetworkInput { feature, side: crate::data::schema::Side::Item, width, embedding })
    };
    let fields = vec![field("pair", 2, 100)];
    let spec = TensorSpec {
        content: Content::Embedded,
        ..tensor("item_emb", Rows::Candidates, ElementType::F32, fields)
    };
    let signature = Signature { layout: Layout::UserOnce, tensors: vec![spec] };
    let assembled = |embedding| {
        let mut lookups = Lookups::default();
        lookups.embeddings.insert("pair".to_owned(), table(embedding));
        let assembler = Assembler::with(&signature, &data, &schema(), &lookups)?;
        let mut inputs = assembler.inputs();
        assembler.fill(&data, 1, &[Candidate::new(0, Some(2)), Candidate::new(2, None)], &mut inputs);
        Ok::<_, Error>(inputs.tensors.remove(0).data)
    };
    let found = assembled(Embedding::Table { rows: rows.clone() }).unwrap();
    assert_eq!(found, TensorData::F32(vec![43.0, -43.0, 0.0, 0.0]));
    // A sequence of another length is another feature.
    assert!(assembled(Embedding::Pooled { rows, length: 2 }).is_err());
    let text = Assembler::new(&signature, &data, &schema()).unwrap_err().to_string();
    assert!(text.contains("`pair`") && text.contains("not beside it"), "{text}");
}

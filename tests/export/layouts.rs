//! What each layout computes: known answers, item tables that are wrong, and requests at the edges.

use crate::{engines, export_to_file, forms, options, support};
use autofas_bench::{
    base::{
        Error,
        names::{Layout, RowFormat},
    },
    data::{
        dataset::{Dataset, EncodedFeature, Slot},
        ids::Ids,
        schema::{Refresh, Side},
    },
    export::{self, Form, signature::Content},
    learn::network::{Body, Dense, Embedding, Network, NetworkInput},
    measure::{
        assemble::{Assembler, Candidate},
        engine::TensorData,
        lookup::Lookups,
        prove::{self, FP32_TOLERANCE},
    },
};

/// A user, an item that lasts and a number of the pair, all one wide, into two hidden values.
fn network() -> Network {
    let input =
        |feature: &str, side, embedding| NetworkInput { feature: feature.into(), side, width: 1, embedding };
    Network {
        inputs: vec![
            input("u", Side::User, Embedding::Table { rows: vec![0.5, 1.0] }),
            input("i", Side::Item, Embedding::Table { rows: vec![1.0, -2.0] }),
            input("x", Side::Item, Embedding::Number { scale: vec![1.0], missing: vec![3.0] }),
        ],
        body: Body::Mlp(vec![
            Dense {
                inputs: 3,
                outputs: 2,
                weight: vec![1.0, 2.0, 3.0, -1.0, 0.5, 1.0],
                bias: vec![0.1, 0.2],
            },
            Dense { inputs: 2, outputs: 1, weight: vec![1.0, -1.0], bias: vec![0.0] },
        ]),
    }
}

/// Two rows of user 1: item 0 with x = 2, and item 1 with x missing.
fn data() -> Dataset {
    let id = |name: &str, start| EncodedFeature {
        name: name.into(),
        slot: Slot::Ids { start, length: 1 },
        cardinality: 2,
    };
    Dataset {
        features: vec![
            id("u", 0),
            id("i", 1),
            EncodedFeature { name: "x".into(), slot: Slot::Number { index: 0 }, cardinality: 0 },
        ],
        number_slots: 1,
        ids: Ids::from_rows(2, &[1, 0, 1, 1]),
        numbers: vec![2.0, f32::NAN].into(),
        labels: vec![0.0; 2].into(),
        ..Dataset::default()
    }
}

fn cached(layout: Layout) -> Form {
    Form { cacheable: [("i".to_owned(), Refresh::Static)].into(), ..layout.into() }
}

#[test]
fn rows_hold_the_items_part_without_bias_and_the_graph_adds_the_rest() {
    let (network, data) = (network(), data());
    let (_folder, path) = export_to_file(&network, cached(Layout::ItemCached));
    let (signature, _) = export::read_signature(&path).unwrap();
    let names: Vec<_> =
        signature.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.content)).collect();
    let values = Content::Values;
    assert_eq!(names, [("user_ids", values), ("item_rows", Content::ItemRows), ("item_num", values)]);
    for engine in engines() {
        let rows = || Ok(vec![0, 1]);
        let lookups = Lookups::of(&*engine, &path, &signature, &options(None), &data, rows).unwrap();
        let items = lookups.items().unwrap();
        assert_eq!((items.row_of(0), items.row_of(1)), (vec![3.0, -1.0], vec![-6.0, 2.0]));
        let assembler = Assembler::by_row(&signature, &data, &lookups).unwrap();
        let mut inputs = assembler.inputs();
        assembler.fill(&data, 0, &[Candidate::of_row(1), Candidate::of_row(0)], &mut inputs);
        assert_eq!(inputs.tensors[1].data, TensorData::F32(vec![-6.0, 2.0, 3.0, -1.0]));
        let mut scores = Vec::new();
        engine.load(&path, &options(None)).unwrap().run(&inputs, &mut scores).unwrap();
        // Hidden: user 1 with bias 1.1 and 2.2; item 1 −6 and 2; a missing x 1.5 and 3. Item 0 3 and −1; x = 2 1 and 2.
        let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
        let expected = [sigmoid(0.0 - 7.2), sigmoid(5.1 - 3.2)];
        scores.iter().zip(expected).for_each(|(a, b)| assert!((a - b).abs() < 1e-6, "{a} {b}"));
    }
}

#[test]
fn a_layout_with_rows_takes_them_in_its_format_and_states_what_they_cost() {
    let network = network();
    for (layout, element, bytes) in
        [(Layout::ItemCached, "f32", 8), (Layout::ItemCachedF16, "f16", 4), (Layout::ItemCachedI8, "i8", 6)]
    {
        let form = Form { items: Some(1000), ..cached(layout) };
        let (_folder, path) = export_to_file(&network, form);
        let (signature, _) = export::read_signature(&path).unwrap();
        let json = serde_json::to_value(&signature.tensors[1]).unwrap();
        assert_eq!((&json["element"], &json["content"]), (&element.into(), &"item-rows".into()));
        let table = export::describe(&path).unwrap().item_table.unwrap();
        assert_eq!((table.outputs, table.bytes_per_item, table.bytes), (2, bytes, Some(1000 * bytes)));
        assert_eq!((table.rows.name(), table.refresh), (element, Refresh::Static));
    }
    let (_folder, path) = export_to_file(&network, Layout::ItemCached);
    assert_eq!(export::describe(&path).unwrap().item_table, None, "nothing of this network lasts");
}

#[test]
fn an_item_table_of_another_network_fails_the_proof_in_every_format() {
    let (network, data) = (network(), data());
    let mut other = network.clone();
    // One step of the roughest format beyond its rounding.
    other.body.layers_mut()[0].weight[2] += 0.1;
    for &rows in RowFormat::ALL {
        let form = cached(Layout::ItemCached.with_rows(rows).unwrap());
        let (_folder, path) = export_to_file(&network, form.clone());
        let (_other_folder, other_path) = export_to_file(&other, form);
        let prove = || {
            let engines = engines();
            let engines: Vec<_> = engines.iter().map(AsRef::as_ref).collect();
            prove::prove(&network, &path, &data, &[0, 1], &engines, &options(None), FP32_TOLERANCE)
        };
        let (report, _) = prove().unwrap();
        let table = report.engines[0].item_table.unwrap();
        assert_eq!((table.rows, table.items), (rows, 2));
        std::fs::copy(other_path.with_file_name("item.onnx"), path.with_file_name("item.onnx")).unwrap();
        let failed = prove().unwrap_err();
        assert!(matches!(failed, Error::Limit { .. }));
        assert!(failed.to_string().contains("item table of tract"), "{failed}");
    }
}

/// Random rows, the first of which has nothing known: ids 0, empty sequences, missing numbers.
fn data_with_edges(features: &[support::FeatureSpec], rows: usize) -> Dataset {
    let mut data = support::dataset(features, rows, 21);
    let slots = data.ids.of_row(0).count();
    let mut ids: Vec<u32> = (0..rows).flat_map(|row| data.ids.of_row(row).collect::<Vec<_>>()).collect();
    ids[..slots].fill(0);
    data.ids = Ids::from_rows(slots, &ids);
    let nothing = data.number_slots;
    data.numbers.to_mut()[..nothing].fill(f32::NAN);
    data
}

#[test]
fn unknown_values_and_requests_of_one_and_ten_thousand_candidates_agree_in_every_form() {
    let features = support::every_kind();
    let data = data_with_edges(&features, 300);
    let network = support::network(&features, &[24], 22);
    let engines = engines();
    let engines: Vec<_> = engines.iter().map(AsRef::as_ref).collect();
    for form in forms(&features) {
        let (_folder, path) = export_to_file(&network, form.clone());
        for (rows, candidates) in [(300, 10_000), (1, 1)] {
            let rows: Vec<u32> = (0..rows).collect();
            let (report, _) = prove::prove(
                &network,
                &path,
                &data,
                &rows,
                &engines,
                &options(Some(candidates)),
                FP32_TOLERANCE,
            )
            .unwrap_or_else(|e| panic!("{form:?}: {e}"));
            assert_eq!(report.request_candidates, [candidates]);
        }
    }
}

#[test]
fn tables_outside_are_refused_when_they_are_not_those_of_the_model() {
    let features = support::every_kind();
    let data = support::dataset(&features, 30, 5);
    let network = support::network(&features, &[8], 5);
    let form = Form {
        embeddings: autofas_bench::base::names::Embeddings::Outside,
        ..support::form(&features, Layout::UserOnce)
    };
    let (folder, path) = export_to_file(&network, form);
    let (signature, _) = export::read_signature(&path).unwrap();
    let lookups = || {
        let rows = || Ok(vec![0]);
        Lookups::of(&*engines()[0], &path, &signature, &options(None), &data, rows)
    };
    assert!(Assembler::by_row(&signature, &data, &lookups().unwrap()).is_ok());
    let missing = Assembler::by_row(&signature, &data, &Lookups::default()).unwrap_err().to_string();
    assert!(missing.contains("not beside it"), "{missing}");
    let manifest = folder.path().join("embeddings.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    for (from, to, expected) in [
        ("\"rows\": 7", "\"rows\": 6", "as the manifest says"),
        ("embeddings.safetensors", "../embeddings.safetensors", "not a file beside"),
        ("\"schema_version\": 1", "\"schema_version\": 2", "this program reads 1"),
    ] {
        std::fs::write(&manifest, text.replace(from, to)).unwrap();
        let refused = lookups().map(|_| ()).unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
    }
}

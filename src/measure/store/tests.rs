use super::{
    contents::{Contents, RowKey, Rows},
    embedded::StoredFolder,
    examples::*,
    memory::MemoryStore,
    *,
};
use crate::{
    base::{fsio, names::Layout, progress::Silent, stop::Stop},
    data::{dataset::Dataset, ids::Ids},
    measure::{
        assemble::{Assembler, Candidate},
        engine::{Inputs, TensorData},
        lookup::Lookups,
    },
};
use proptest::prelude::*;
use std::{collections::HashMap, path::Path};

/// Rows (user, item); user 1 was last in row 4, item 10 in row 3, and the pair of both in row 3 as well.
const KEYS: [(u64, u64); 5] = [(1, 10), (2, 11), (2, 10), (1, 10), (1, 12)];

fn store(data: &Dataset) -> MemoryStore {
    MemoryStore::of(&Contents::of(&schema(), "e".into(), data).unwrap()).unwrap()
}

/// One of every kind: in memory from the data, in memory from a file in `folder`, and that file.
fn stores(data: &Dataset, folder: &Path) -> Vec<Box<dyn FeatureStore>> {
    let contents = Contents::of(&schema(), "e".into(), data).unwrap();
    let folder = folder.join("store");
    embedded::write(&folder, &contents, &Silent, &Stop::never()).unwrap();
    vec![
        Box::new(store(data)),
        // A file is opened once in a process.
        StoreChoice::Memory(folder.clone()).open().unwrap().unwrap(),
        StoreChoice::Embedded(folder).open().unwrap().unwrap(),
    ]
}

/// The inputs of one request, with the stored features of `store` and what was counted. `age` is the only one from the data.
fn fetched(
    data: &Dataset,
    store: &dyn FeatureStore,
    layout: Layout,
    user_row: u32,
    keys: Keys<'_>,
) -> (Inputs, FetchCounts) {
    let assembler =
        Assembler::fetching(&signature(layout), data, &schema(), store.manifest(), &Lookups::default())
            .unwrap();
    let (mut inputs, mut counts) = (assembler.inputs(), FetchCounts::default());
    let mut reader = store.reader(&assembler.groups()).unwrap();
    // Left-overs of a longer request, and of this one, would show.
    let longer = [3; 9];
    for (user, items) in [(77, &longer[..]), (keys.user, keys.items), (keys.user, keys.items)] {
        counts = FetchCounts::default();
        let candidates = vec![Candidate::new(0, None); items.len()];
        assembler.fill(data, user_row, &candidates, &mut inputs);
        let mut scatter = assembler.scatter(&mut inputs, &mut counts);
        reader.fetch(Keys { user, items }, &mut scatter).unwrap();
        scatter.finish().unwrap();
    }
    (inputs, counts)
}

/// As bits, so that NaN equals NaN.
fn values(inputs: &Inputs) -> Vec<(String, [usize; 2], Vec<i64>)> {
    let of = |tensor: &crate::measure::engine::InputTensor| {
        let values = match &tensor.data {
            TensorData::I64(ids) => ids.clone(),
            TensorData::F32(numbers) => numbers.iter().map(|x| i64::from(x.to_bits())).collect(),
            other => panic!("{other:?}"),
        };
        (tensor.name.clone(), tensor.shape, values)
    };
    inputs.tensors.iter().map(of).collect()
}

#[test]
fn rows_are_packed_in_schema_order_with_a_sequence_and_as_many_bytes_as_an_id_needs() {
    let data = data(&KEYS);
    let contents = Contents::of(&schema(), "e".into(), &data).unwrap();
    let groups: Vec<(&str, Owner, usize, usize)> = (contents.manifest().groups.iter())
        .map(|group| (group.name.as_str(), group.owner, group.row_bytes, group.features.len()))
        .collect();
    let expected = [
        ("user_id", Owner::User, 1, 1),
        ("hour", Owner::User, 1, 1),
        ("profile", Owner::Item, 1 + 2 + 4 + 2 + 4, 5),
        ("list", Owner::Item, 1, 1),
        ("seen", Owner::Pair, 4 + 2, 2),
    ];
    assert_eq!(groups, expected);
    let manifest = contents.manifest();
    assert_eq!((manifest.users, manifest.items, manifest.pairs), (2, 3, 4));
    assert_eq!(manifest.row_bytes(), 2 * 2 + 3 * 14 + 4 * 6);
    let mut profiles = Vec::new();
    let keep = &mut |key, row: &[u8]| {
        profiles.push((key, row.to_vec()));
        Ok(())
    };
    contents.each(2, keep).unwrap();
    let keys: Vec<_> = profiles.iter().map(|(key, _)| *key).collect();
    assert_eq!(keys, [[10, 0], [11, 0], [12, 0]]);
    // Item 10 in row 3: small 21 + 3, middle 1031 + 3, large 70051 + 3, tags 61 + 3 and 71 + 3, no price.
    let expected = [&[24, 0x0a, 0x04, 0xa6, 0x11, 0x01, 0x00, 64, 74], &f32::NAN.to_le_bytes()[..]].concat();
    assert_eq!(profiles[0].1, expected);
}

#[test]
fn a_fetch_gives_the_last_row_of_user_item_and_pair_and_missing_values_where_there_is_none() {
    let (data, folder) = (data(&KEYS), tempfile::tempdir().unwrap());
    for store in stores(&data, folder.path()) {
        check_last_rows(&data, &*store);
    }
}

fn check_last_rows(data: &Dataset, store: &dyn FeatureStore) {
    // Item 10 with its pair, 11 without one, and one that nobody knows.
    let keys = Keys { user: 1, items: &[10, 11, 99] };
    let (inputs, counts) = fetched(data, store, Layout::UserOnce, 4, keys);
    let ids = |tensor: usize| match &inputs.tensors[tensor].data {
        TensorData::I64(ids) => ids.as_slice(),
        _ => panic!("ids expected"),
    };
    // User 1 in row 4: user_id 1 + 4, hour 11 + 4.
    assert_eq!(ids(0), [5, 15]);
    // small, alone, large, tags (two), acts (two). Item 10 in row 3, its pair in row 3; item 11 in row 1.
    assert_eq!(ids(1)[..7], [24, 44, 70_054, 64, 74, 84, 94]);
    assert_eq!(ids(1)[7..14], [22, 42, 70_052, 62, 72, 0, 0]);
    assert_eq!(ids(1)[14..], [0; 7]);
    let numbers = |tensor: usize| match &inputs.tensors[tensor].data {
        TensorData::F32(numbers) => numbers.as_slice(),
        _ => panic!("numbers expected"),
    };
    assert_eq!(numbers(2), [4.25]);
    // price, times: both are missing in row 3 itself; item 11 has a price of 1000.5 + 1.
    assert!(numbers(3)[0].is_nan() && numbers(3)[1].is_nan());
    assert_eq!(numbers(3)[2], 1001.5);
    assert!(numbers(3)[3..].iter().all(|x| x.is_nan()), "{:?}", numbers(3));
    let rows = |asked, missing| RowCounts { asked, missing };
    assert_eq!((counts.users, counts.items, counts.pairs), (rows(2, 0), rows(6, 2), rows(3, 2)));
    // Two rows of the user, two items with both groups, one pair.
    assert_eq!(counts.bytes, 2 + 2 * 14 + 6);
}

#[test]
fn an_unknown_user_has_missing_values_and_no_pairs() {
    let data = data(&KEYS);
    let (inputs, counts) = fetched(&data, &store(&data), Layout::UserOnce, 0, Keys { user: 9, items: &[10] });
    assert_eq!(inputs.tensors[0].data, TensorData::I64(vec![0, 0]));
    assert_eq!((counts.users.missing, counts.items.missing, counts.pairs.missing), (2, 0, 1));
}

#[test]
fn a_row_of_another_length_and_an_id_beyond_its_feature_are_refused() {
    let data = data(&KEYS);
    let store = store(&data);
    let signature = signature(Layout::UserOnce);
    let assembler =
        Assembler::fetching(&signature, &data, &schema(), store.manifest(), &Lookups::default()).unwrap();
    let mut inputs = assembler.inputs();
    let place = |name: &str| {
        let of_group = |&group: &usize| store.manifest().groups[group].name == name;
        assembler.groups().iter().position(of_group).unwrap()
    };
    let mut refused = |group: &str, row: &[u8]| {
        let mut counts = FetchCounts::default();
        assembler.fill(&data, 0, &[Candidate::new(0, None)], &mut inputs);
        let mut scatter = assembler.scatter(&mut inputs, &mut counts);
        scatter.take(place(group), 0, &[Some(row)]);
        scatter.finish().map_err(|error| error.to_string())
    };
    assert_eq!(refused("list", &[99]), Ok(()));
    let beyond = refused("list", &[100]).unwrap_err();
    assert!(beyond.contains("`list`") && beyond.contains("store load"), "{beyond}");
    let mut row = [0; 13];
    row[3..7].copy_from_slice(&100_000u32.to_le_bytes());
    assert!(refused("profile", &row).unwrap_err().contains("candidates 1 to 1 holds an id beyond"));
    assert!(refused("profile", &row[..12]).unwrap_err().contains("has 12 bytes, not 13"));
}

#[test]
fn a_store_without_a_group_or_with_other_values_does_not_fit_the_model() {
    let data = data(&KEYS);
    let refused = |change: fn(&mut Manifest)| {
        let mut manifest = store(&data).manifest().clone();
        change(&mut manifest);
        let planned =
            Assembler::fetching(&signature(Layout::Concat), &data, &schema(), &manifest, &Lookups::default());
        planned.unwrap_err().to_string()
    };
    let gone = refused(|manifest| drop(manifest.groups.pop()));
    assert!(gone.contains("the store, `acts`: no group holds it") && gone.contains("store load"), "{gone}");
    let fewer = refused(|manifest| manifest.groups[3].features[0].cardinality = 50);
    assert!(fewer.contains("`alone`: the store has 1 values below 50"), "{fewer}");
    // Of sizes that fit, so that the manifest is sound by itself.
    let form = refused(|manifest| {
        let large = manifest.groups[2].features.iter_mut().find(|feature| feature.name == "large").unwrap();
        (large.form, manifest.groups[2].features[4].form) = (layout::Form::Number, layout::Form::Ids);
    });
    assert!(form.contains("`large`: the store has it as number, and the model takes ids"), "{form}");
    let owner = refused(|manifest| manifest.groups[2].owner = Owner::User);
    assert!(owner.contains("`small`: the store has it by user, and it is fetched by item"), "{owner}");
    let owner = refused(|manifest| manifest.groups[0].owner = Owner::Pair);
    assert!(owner.contains("`user_id`: the store has it by pair"), "{owner}");
}

#[test]
fn a_folder_of_another_version_is_refused_and_what_dead_loads_left_is_removed() {
    let (data, place) = (data(&KEYS), tempfile::tempdir().unwrap());
    let contents = Contents::of(&schema(), "e".into(), &data).unwrap();
    let names = || -> Vec<String> {
        let entries = std::fs::read_dir(place.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let stop = Stop::default();
    stop.request(2);
    let stopped = embedded::write(&place.path().join("store"), &contents, &Silent, &stop);
    assert!(matches!(stopped, Err(crate::base::Error::Interrupted { .. })));
    assert_eq!(names(), [""; 0]);

    // One that died, one that is under way, and a folder of somebody else.
    for name in [".autofas-tmp-store-dead", ".autofas-tmp-store-live", ".autofas-tmp-other"] {
        std::fs::create_dir(place.path().join(name)).unwrap();
    }
    std::fs::write(place.path().join(".autofas-tmp-store-dead/rows.mdb"), "half").unwrap();
    let live = std::fs::File::open(place.path().join(".autofas-tmp-store-live")).unwrap();
    live.lock().unwrap();
    let folder = place.path().join("store");
    embedded::write(&folder, &contents, &Silent, &Stop::never()).unwrap();
    assert_eq!(names(), [".autofas-tmp-other", ".autofas-tmp-store-live", "store"]);

    let path = folder.join(embedded::MANIFEST);
    let mut stored: StoredFolder = fsio::read_json(&path).unwrap();
    stored.schema_version = 2;
    fsio::write_json(&path, &stored).unwrap();
    let error = embedded::open(&folder).err().expect("refused").to_string();
    assert!(error.contains("store.json, `schema_version`: is 2, this program reads 1"), "{error}");
}

#[test]
fn a_manifest_of_another_version_or_with_features_outside_their_rows_is_refused() {
    let manifest = store(&data(&KEYS)).manifest().clone();
    manifest.check("s".as_ref()).unwrap();
    let refused = |change: fn(&mut Manifest)| {
        let mut manifest = manifest.clone();
        change(&mut manifest);
        manifest.check("there/store.json".as_ref()).unwrap_err().to_string()
    };
    let version = refused(|manifest| manifest.schema_version = 9);
    assert!(version.contains("there/store.json, `schema_version`: is 9, this program reads 1"), "{version}");
    for change in [
        (|manifest| manifest.groups[2].features[4].offset = 10) as fn(&mut Manifest),
        |manifest| manifest.groups[2].features[4].length = usize::MAX,
        |manifest| manifest.groups[2].features[4].value_bytes = 3,
        |manifest| manifest.groups[2].features[4].value_bytes = 2,
    ] {
        let outside = refused(change);
        assert!(outside.contains("`price`: group `profile` has no room for it"), "{outside}");
    }
    let larger = refused(|manifest| manifest.groups[4].row_bytes = usize::MAX);
    assert!(larger.contains("`seen`: its features do not fill its rows"), "{larger}");
}

#[test]
fn data_that_cannot_be_stored_is_refused_with_the_way_out() {
    let refused = |schema: &str, data: &Dataset| {
        let schema = crate::data::schema::Schema::parse(schema, "s.toml".as_ref()).unwrap();
        Contents::of(&schema, "e".into(), data).map(drop).unwrap_err().to_string()
    };
    let keyless = Dataset { item_keys: None, ..data(&KEYS) };
    assert!(refused(SCHEMA, &keyless).contains("name `user_key` and `item_key`"));
    let nothing = SCHEMA
        .replace("source = \"store\", fetch_group = \"profile\"", "source = \"matching\"")
        .replace("source = \"store\", fetch_group = \"seen\"", "source = \"matching\"")
        .replace("source = \"store\"", "source = \"matching\"")
        .replace("fetch_group = \"list\"\n", "");
    assert!(refused(&nothing, &data(&KEYS)).contains("no feature of the schema comes from a store"));
    let mut damaged = data(&KEYS);
    damaged.ids = Ids::from_rows(10, &[101; 50]);
    assert!(refused(SCHEMA, &damaged).contains("data encode"));
}

#[test]
fn groups_of_one_owner_with_other_keys_than_the_manifest_says_are_refused() {
    struct Odd<'a>(Contents<'a>, fn(usize, RowKey) -> Option<RowKey>);
    impl Rows for Odd<'_> {
        fn manifest(&self) -> &Manifest {
            self.0.manifest()
        }
        fn each(&self, group: usize, visit: &mut dyn FnMut(RowKey, &[u8]) -> Result<()>) -> Result<()> {
            self.0.each(group, &mut |key, row| self.1(group, key).map_or(Ok(()), |key| visit(key, row)))
        }
    }
    let data = data(&KEYS);
    let odd: [fn(usize, RowKey) -> Option<RowKey>; 2] = [
        |group, key| (group != 3 || key[0] != 11).then_some(key),
        |group, key| Some(if group == 3 { [key[0] + 1, 0] } else { key }),
    ];
    for change in odd {
        let contents = Contents::of(&schema(), "e".into(), &data).unwrap();
        let error = MemoryStore::of(&Odd(contents, change)).unwrap_err().to_string();
        assert!(error.contains("the store, `list`: it has other rows"), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Against the assembly from the rows of the data, which looks keys up in another way.
    #[test]
    fn what_is_fetched_is_what_is_assembled_from_the_data(
        keys in prop::collection::vec((0u64..6, 0u64..200), 1..300),
        user in 0usize..300,
        items in prop::collection::vec(0usize..300, 1..150),
    ) {
        let (data, folder) = (data(&keys), tempfile::tempdir().unwrap());
        let stores = stores(&data, folder.path());
        let row_of = |keys: &mut dyn Iterator<Item = u64>| -> HashMap<u64, u32> { keys.zip(0..).collect() };
        let users = row_of(&mut keys.iter().map(|key| key.0));
        let item_rows = row_of(&mut keys.iter().map(|key| key.1));
        let pairs: HashMap<(u64, u64), u32> = keys.iter().copied().zip(0..).collect();
        let user = keys[user % keys.len()].0;
        let items: Vec<u64> = items.iter().map(|&i| keys[i % keys.len()].1).collect();
        let candidate = |item: &u64| Candidate::new(item_rows[item], pairs.get(&(user, *item)).copied());
        let candidates: Vec<Candidate> = items.iter().map(candidate).collect();
        for layout in [Layout::UserOnce, Layout::Concat] {
            let assembler = Assembler::new(&signature(layout), &data, &schema()).unwrap();
            let mut assembled = assembler.inputs();
            assembler.fill(&data, users[&user], &candidates, &mut assembled);
            let keys = Keys { user, items: &items };
            let unseen = items.iter().filter(|item| !pairs.contains_key(&(user, **item))).count();
            let unseen = RowCounts { asked: items.len() as u64, missing: unseen as u64 };
            for store in &stores {
                let (inputs, counts) = fetched(&data, &**store, layout, users[&user], keys);
                prop_assert_eq!(values(&inputs), values(&assembled));
                prop_assert_eq!(counts.pairs, unseen);
            }
        }
    }
}

//! The features of the synthetic log: role, serving, encoding, price, and the value of a row.
//!
//! Every role comes in every kind and from every source; useful and redundant features come in every combination of the
//! two. Prices span 0.2 to 2 ms; a redundant feature always costs more than the one it repeats.

use super::{SynthSettings, world::Impression};
use crate::data::schema::{Kind, Source};
use Kind::{Context, Interactive, Item, User};
use Role::{Redundant, Useful, Useless};
use Source::{Matching, Store};
use serde::Serialize;
use std::fmt::Write;

/// What a feature was planted as.
pub(super) enum Role {
    Useful,
    Redundant { of: &'static str },
    Useless,
}

/// A raw value.
#[derive(Debug)]
pub(super) enum Value {
    Id(u32),
    Number(Option<f32>),
    Text(String),
}

impl Value {
    pub fn id(self) -> Option<i64> {
        if let Self::Id(id) = self { Some(i64::from(id)) } else { None }
    }

    pub fn number(self) -> Option<f32> {
        if let Self::Number(number) = self { number } else { None }
    }

    pub fn text(self) -> Option<String> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }
}

/// One feature of the log.
pub(super) struct Planted {
    pub name: &'static str,
    pub role: Role,
    pub kind: Kind,
    source: Source,
    /// Features with a group live in one stored row.
    group: Option<&'static str>,
    encoding: Encoded,
    fetch_ms: f64,
    pub value: fn(&Impression) -> Value,
}

#[derive(Clone, Copy)]
enum Encoded {
    Vocabulary,
    Hash,
    Buckets,
    Standardize,
    Tags,
}

impl Encoded {
    fn toml(self) -> &'static str {
        match self {
            Self::Vocabulary => "type = \"categorical\"",
            Self::Hash => "type = \"categorical\"\nencoding = \"hash\"\nbuckets = 256",
            Self::Buckets => "type = \"numeric\"\nencoding = \"buckets\"\nbuckets = 16",
            Self::Standardize => "type = \"numeric\"\nencoding = \"standardize\"",
            Self::Tags => "type = \"sequence\"\nlength = 4\nseparator = \"|\"",
        }
    }
}

/// The text of a copied category: other letters, the same information.
fn copy(value: u32) -> Value {
    Value::Text(format!("copy-{value}"))
}

fn tags(tags: &[u32]) -> Value {
    Value::Text(tags.iter().map(|tag| format!("tag{tag}")).collect::<Vec<_>>().join("|"))
}

type Row = (&'static str, Role, Kind, Source, Option<&'static str>, Encoded, f64, fn(&Impression) -> Value);

const fn planted(row: Row) -> Planted {
    let (name, role, kind, source, group, encoding, fetch_ms, value) = row;
    Planted { name, role, kind, source, group, encoding, fetch_ms, value }
}

const USER: Option<&str> = Some("user_row");
const ITEM: Option<&str> = Some("item_row");
const PAIR: Option<&str> = Some("pair_row");

/// All features.
#[rustfmt::skip]
pub(super) const FEATURES: &[Planted] = &{
    use Encoded::{Buckets, Hash, Standardize, Tags, Vocabulary};
    use Value::{Id, Number};
    [
        planted(("u_taste", Useful, User, Matching, None, Vocabulary, 0.2, |i| Id(i.user.taste))),
        planted(("u_plan", Useful, User, Store, USER, Vocabulary, 0.3, |i| Id(i.user.plan))),
        planted(("u_activity", Useful, User, Store, USER, Standardize, 0.3, |i| Number(Some(i.user.activity)))),
        planted(("c_device", Useful, Context, Matching, None, Vocabulary, 0.2, |i| Id(i.request.device))),
        planted(("c_campaign", Useful, Context, Store, None, Vocabulary, 0.3, |i| Id(i.request.campaign))),
        planted(("scenario", Useful, Context, Matching, None, Vocabulary, 0.2, |i| Id(i.request.scenario as u32))),
        planted(("i_format", Useful, Item, Matching, None, Vocabulary, 0.2, |i| Id(i.item.format))),
        planted(("i_style", Useful, Item, Store, ITEM, Vocabulary, 0.4, |i| Id(i.item.style))),
        planted(("i_quality", Useful, Item, Store, ITEM, Standardize, 0.4, |i| Number(Some(i.item.quality)))),
        planted(("i_tags", Useful, Item, Store, ITEM, Tags, 0.4, |i| tags(&i.item.tags))),
        planted(("x_channel", Useful, Interactive, Matching, None, Vocabulary, 0.3, |i| Id(i.pair.channel))),
        planted(("x_seen", Useful, Interactive, Store, PAIR, Vocabulary, 0.5, |i| Id(i.pair.seen))),
        planted(("x_affinity", Useful, Interactive, Store, PAIR, Standardize, 0.5, |i| Number(i.pair.affinity))),

        planted(("u_taste_copy", Redundant { of: "u_taste" }, User, Matching, None, Vocabulary, 1.0, |i| copy(i.user.taste))),
        planted(("u_activity_noisy", Redundant { of: "u_activity" }, User, Store, None, Buckets, 1.2, |i| Number(Some(i.user.activity_noisy)))),
        planted(("c_device_copy", Redundant { of: "c_device" }, Context, Matching, None, Vocabulary, 0.8, |i| copy(i.request.device))),
        planted(("c_campaign_copy", Redundant { of: "c_campaign" }, Context, Store, None, Vocabulary, 1.0, |i| copy(i.request.campaign))),
        planted(("i_format_copy", Redundant { of: "i_format" }, Item, Matching, None, Vocabulary, 1.2, |i| copy(i.item.format))),
        planted(("i_style_copy", Redundant { of: "i_style" }, Item, Store, None, Vocabulary, 2.0, |i| copy(i.item.style))),
        planted(("i_quality_noisy", Redundant { of: "i_quality" }, Item, Store, None, Standardize, 1.6, |i| Number(Some(i.item.quality_noisy)))),
        planted(("x_channel_copy", Redundant { of: "x_channel" }, Interactive, Matching, None, Vocabulary, 1.2, |i| copy(i.pair.channel))),
        planted(("x_affinity_noisy", Redundant { of: "x_affinity" }, Interactive, Store, None, Buckets, 2.0, |i| Number(Some(i.pair.affinity_noisy)))),

        // An id of high cardinality that belonged to a user or an item would tell who it is, and so be useful: these two are
        // drawn anew for every request and every candidate, which makes them features of the context and of the pair.
        planted(("u_session", Useless, Context, Matching, None, Hash, 0.4, |i| Id(i.request.session))),
        planted(("u_badge", Useless, User, Store, USER, Vocabulary, 0.3, |i| Id(i.user.badge))),
        planted(("c_trace", Useless, Context, Matching, None, Hash, 0.2, |i| Id(i.request.trace))),
        planted(("c_weather", Useless, Context, Store, None, Buckets, 0.6, |i| Number(Some(i.request.weather)))),
        planted(("i_batch", Useless, Interactive, Matching, None, Hash, 0.3, |i| Id(i.pair.batch))),
        planted(("i_weight", Useless, Item, Store, ITEM, Standardize, 0.4, |i| Number(Some(i.item.weight)))),
        planted(("x_token", Useless, Interactive, Matching, None, Hash, 0.6, |i| Id(i.pair.token))),
        planted(("x_noise", Useless, Interactive, Store, PAIR, Standardize, 0.5, |i| Number(Some(i.pair.noise)))),
    ]
};

/// A word of the schema file in quotes, which JSON writes as TOML does.
fn written(word: &impl Serialize) -> String {
    serde_json::to_string(word).expect("a word is plain data")
}

/// The content of the schema file.
pub(super) fn schema_toml(settings: &SynthSettings) -> String {
    let mut text = format!(
        r#"# Schema of a synthetic search log; what was planted stands in truth.json.

[data]
label = "click"
other_labels = ["purchase"]
time = "time_ms"
group = "request_id"
partition = "scenario"
request = "request_id"
user_key = "user_id"
item_key = "item_id"
fetch_candidates = 1000
beta_ms = 0.02
gamma_ms = 0.02

[defaults]
width = {}
"#,
        settings.width
    );
    for feature in FEATURES {
        let (name, encoding, fetch_ms) = (feature.name, feature.encoding.toml(), feature.fetch_ms);
        let (kind, source) = (written(&feature.kind), written(&feature.source));
        let group = feature.group.map_or(String::new(), |group| format!("fetch_group = \"{group}\"\n"));
        let _ = write!(
            text,
            "\n[[feature]]\nname = \"{name}\"\nkind = {kind}\nsource = {source}\n{group}{encoding}\nfetch_ms = {fetch_ms:?}\n"
        );
    }
    text
}

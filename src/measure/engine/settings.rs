//! Settings that one runtime has and others have not, each with its key on the command line. Every one is recorded with
//! the measurements that were made under it; docs/engines.md says what each of them does to the times.

use crate::base::{
    Error, Result, keys,
    names::{EngineName, GraphOptimization, IoBinding, Switch, TractPlan},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, str::FromStr};

/// What only tract has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TractSettings {
    /// Which plan requests run on.
    pub plan: TractPlan,
}

/// What only ONNX Runtime has. Its defaults here are its own, except that threads do not spin: that would take cores from
/// the other threads of a measurement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct OnnxRuntimeSettings {
    /// Whether idle threads of a session spin before they sleep.
    pub spinning: Switch,
    /// Whether memory of the processor is kept for the next run.
    pub arena: Switch,
    /// Whether the places of all tensors of a run are planned at once, for each shape of the inputs.
    pub memory_pattern: Switch,
    /// How far the graph is rewritten.
    pub graph_optimization: GraphOptimization,
    /// Whether inputs and outputs are bound to memory of the session, which shows copies apart.
    pub io_binding: IoBinding,
    /// Where TensorRT keeps the engines that it built, so that loading a model again does not build them again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tensorrt_cache: Option<PathBuf>,
}

/// The settings of every runtime; each takes its own. What is absent is at its default.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct EngineSettings {
    /// Of tract.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tract: Option<TractSettings>,
    /// Of ONNX Runtime.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub onnxruntime: Option<OnnxRuntimeSettings>,
}

impl TractSettings {
    /// What is taken where nothing is said.
    pub const DEFAULT: Self = Self { plan: TractPlan::Auto };
}

impl OnnxRuntimeSettings {
    /// What is taken where nothing is said.
    pub const DEFAULT: Self = Self {
        spinning: Switch::Off,
        arena: Switch::On,
        memory_pattern: Switch::On,
        graph_optimization: GraphOptimization::All,
        io_binding: IoBinding::Auto,
        tensorrt_cache: None,
    };
}

impl Default for TractSettings {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Default for OnnxRuntimeSettings {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// One setting as the command line knows it.
pub struct Setting {
    /// The key.
    pub key: &'static str,
    /// The runtime that has it.
    pub engine: EngineName,
    /// What may be written for it.
    pub values: &'static str,
    set: fn(&mut EngineSettings, &str) -> Result<(), String>,
    get: fn(&EngineSettings) -> String,
}

/// Declares settings of one field each: key, runtime, values, its settings and their field.
macro_rules! settings {
    ($($key:literal $engine:ident $values:literal $of:ident.$field:ident;)+) => {
        &[$(Setting {
            key: $key,
            engine: EngineName::$engine,
            values: $values,
            set: |settings, text| {
                settings.$of.get_or_insert_default().$field = parsed(text)?;
                Ok(())
            },
            get: |settings| settings.$of().$field.to_string(),
        }),+]
    };
}

/// All settings whose value is a name.
const NAMED: &[Setting] = settings! {
    "plan" Tract "auto, symbolic, bucketed" tract.plan;
    "spinning" OnnxRuntime "on, off" onnxruntime.spinning;
    "arena" OnnxRuntime "on, off" onnxruntime.arena;
    "memory_pattern" OnnxRuntime "on, off" onnxruntime.memory_pattern;
    "graph_optimization" OnnxRuntime "off, basic, extended, layout, all" onnxruntime.graph_optimization;
    "io_binding" OnnxRuntime "auto, on, off" onnxruntime.io_binding;
};

const TENSORRT_CACHE: Setting = Setting {
    key: "tensorrt_cache",
    engine: EngineName::OnnxRuntime,
    values: "a folder",
    set: |settings, text| {
        settings.onnxruntime.get_or_insert_default().tensorrt_cache = Some(text.into());
        Ok(())
    },
    get: |settings| match &settings.onnxruntime().tensorrt_cache {
        Some(folder) => folder.display().to_string(),
        None => "none".to_owned(),
    },
};

fn parsed<T: FromStr<Err = String>>(text: &str) -> Result<T, String> {
    text.parse()
}

impl Setting {
    /// Every setting.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        NAMED.iter().chain(std::iter::once(&TENSORRT_CACHE))
    }

    /// The value that it has in `settings`, as it is written.
    pub fn value(&self, settings: &EngineSettings) -> String {
        (self.get)(settings)
    }
}

impl EngineSettings {
    /// What is taken where nothing is said.
    pub const DEFAULT: Self = Self { tract: None, onnxruntime: None };

    /// Those of tract.
    pub fn tract(&self) -> TractSettings {
        self.tract.clone().unwrap_or_default()
    }

    /// Those of ONNX Runtime.
    pub fn onnxruntime(&self) -> OnnxRuntimeSettings {
        self.onnxruntime.clone().unwrap_or_default()
    }

    /// Sets `key=value`, where one of `engines` has that setting.
    ///
    /// Fails on a key that no engine knows, naming the nearest one, on one that none of `engines` has, which would be
    /// without effect, and on a value that the setting does not take.
    pub fn set(&mut self, text: &str, engines: &[EngineName]) -> Result<()> {
        let Some((key, value)) = text.split_once('=') else {
            return Err(Error::usage(
                format!("the engine option `{text}` has no value"),
                "write it as key=value, such as spinning=on",
            ));
        };
        let Some(setting) = Setting::all().find(|setting| setting.key == key) else {
            return Err(Error::usage(format!("no engine has an option `{key}`"), unknown_fix(key)));
        };
        if !engines.contains(&setting.engine) {
            return Err(Error::usage(
                format!("`{key}` is an option of {}, which is not measured", setting.engine),
                format!("leave it out, or add --engine {}", setting.engine),
            ));
        }
        (setting.set)(self, value).map_err(|problem| {
            Error::usage(
                format!("engine option `{key}`: {problem}"),
                format!("give one of {}", setting.values),
            )
        })
    }

    /// Every setting that `engine` has, and none that it has not: what results record.
    pub fn only(&self, engine: EngineName) -> Self {
        Self {
            tract: (engine == EngineName::Tract).then(|| self.tract()),
            onnxruntime: (engine == EngineName::OnnxRuntime).then(|| self.onnxruntime()),
        }
    }
}

fn unknown_fix(key: &str) -> String {
    let keys: Vec<_> = Setting::all().map(|setting| setting.key).collect();
    match keys::nearest(key, keys.iter().copied()) {
        Some(near) => format!("did you mean `{near}`? The options are {}", keys.join(", ")),
        None => format!("the options are {}", keys.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [EngineName; 2] = [EngineName::Tract, EngineName::OnnxRuntime];

    #[test]
    fn every_setting_takes_the_values_that_it_names_and_shows_them() {
        for setting in Setting::all().filter(|setting| setting.key != "tensorrt_cache") {
            for value in setting.values.split(", ") {
                let mut settings = EngineSettings::DEFAULT;
                settings.set(&format!("{}={value}", setting.key), &BOTH).unwrap();
                assert_eq!(setting.value(&settings), value);
                let changed = settings.only(setting.engine) != EngineSettings::DEFAULT.only(setting.engine);
                assert_eq!(
                    changed,
                    value != setting.value(&EngineSettings::DEFAULT),
                    "{}={value}",
                    setting.key
                );
            }
            let mut settings = EngineSettings::DEFAULT;
            let error = settings.set(&format!("{}=sometimes", setting.key), &BOTH).unwrap_err().to_string();
            assert!(error.contains(setting.key) && error.contains(setting.values), "{error}");
        }
        let mut settings = EngineSettings::DEFAULT;
        settings.set("tensorrt_cache=a=b", &BOTH).unwrap();
        assert_eq!(settings.onnxruntime().tensorrt_cache, Some("a=b".into()));
    }

    #[test]
    fn a_key_that_nobody_has_names_the_nearest_and_one_without_effect_is_refused() {
        let refused = |text: &str, engines: &[EngineName]| {
            let mut settings = EngineSettings::DEFAULT;
            let error = settings.set(text, engines).unwrap_err();
            assert!(matches!(error, Error::Usage { .. }));
            error.to_string()
        };
        assert!(refused("spining=on", &BOTH).contains("did you mean `spinning`?"));
        assert!(refused("spinning", &BOTH).contains("key=value"));
        let other = refused("spinning=on", &[EngineName::Tract]);
        assert!(other.contains("option of onnxruntime, which is not measured"), "{other}");
    }

    #[test]
    fn a_result_records_all_that_its_runtime_has_and_missing_keys_are_the_defaults() {
        let settings = EngineSettings::DEFAULT;
        let json = |engine| serde_json::to_value(settings.only(engine)).unwrap();
        assert_eq!(json(EngineName::Tract), serde_json::json!({"tract": {"plan": "auto"}}));
        assert_eq!(json(EngineName::Null), serde_json::json!({}));
        assert_eq!(json(EngineName::OnnxRuntime)["onnxruntime"]["arena"], "on");
        let read: EngineSettings = serde_json::from_str("{\"onnxruntime\": {\"arena\": \"off\"}}").unwrap();
        assert_eq!((read.onnxruntime().arena, read.onnxruntime().spinning), (Switch::Off, Switch::Off));
        assert_eq!(read.only(EngineName::Tract), settings.only(EngineName::Tract));
    }
}

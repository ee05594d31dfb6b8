//! Names that several rooms share: engines, providers, layouts and precisions, as the user writes them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Declares a plain enum whose variants have one written form each, used by serde, by `Display` and by `FromStr`.
macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $text)] $variant),+ }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The written form.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                Self::ALL.iter().copied().find(|v| v.name() == text).ok_or_else(|| {
                    let known: Vec<_> = Self::ALL.iter().map(|v| v.name()).collect();
                    let near = $crate::base::keys::nearest(text, known.iter().copied());
                    let near = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
                    format!("`{text}` is none of {}{near}", known.join(", "))
                })
            }
        }
    };
}

/// How files write a value that is a text there, such as a variant without fields; nothing of any other.
pub fn word(value: impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

pub(crate) use named;

named! {
    /// An inference runtime that runs inside the process.
    EngineName {
        /// tract, pure Rust.
        Tract = "tract",
        /// ONNX Runtime, loaded at run time.
        OnnxRuntime = "onnxruntime",
        /// Answers at once with zeros: what the harness itself costs.
        Null = "null",
    }
}

named! {
    /// Where ONNX Runtime computes.
    Provider {
        /// The default CPU kernels.
        Cpu = "cpu",
        /// NVIDIA CUDA.
        Cuda = "cuda",
        /// NVIDIA TensorRT.
        TensorRt = "tensorrt",
    }
}

named! {
    /// How one request (one user, n candidates) becomes the inputs of a graph.
    Layout {
        /// User values repeated in every candidate's row.
        Concat = "concat",
        /// First layer split: the user part is computed on one row and added to every candidate's.
        UserOnce = "user-once",
        /// As user-once, and the item part of the first layer comes from a table that was filled beforehand, in f32.
        ItemCached = "item-cached",
        /// As item-cached, with f16 rows.
        ItemCachedF16 = "item-cached-f16",
        /// As item-cached, with i8 rows and a scale for each.
        ItemCachedI8 = "item-cached-i8",
    }
}

impl Layout {
    /// Number format of the item table's rows; none where everything is computed in the request.
    pub fn rows(self) -> Option<RowFormat> {
        match self {
            Self::Concat | Self::UserOnce => None,
            Self::ItemCached => Some(RowFormat::F32),
            Self::ItemCachedF16 => Some(RowFormat::F16),
            Self::ItemCachedI8 => Some(RowFormat::I8),
        }
    }

    /// The layout with rows of that format; None where there are no rows.
    pub fn with_rows(self, rows: RowFormat) -> Option<Self> {
        self.rows()?;
        Self::ALL.iter().copied().find(|layout| layout.rows() == Some(rows))
    }
}

named! {
    /// Number format of the rows of an item table.
    RowFormat {
        /// 32-bit floating point.
        F32 = "f32",
        /// 16-bit floating point.
        F16 = "f16",
        /// 8-bit integers with one f32 scale per row.
        I8 = "i8",
    }
}

named! {
    /// Where a model's embedding tables are.
    Embeddings {
        /// In the graph, which takes ids.
        Inside = "inside",
        /// In a file beside the graph, which takes embedded vectors: for a parameter server or a store.
        Outside = "outside",
    }
}

named! {
    /// Number format of weights and activations in the exported graph.
    Precision {
        /// 32-bit floating point.
        Fp32 = "fp32",
        /// Weights and tables stored in 16-bit floating point, computed with in 32.
        Fp16 = "fp16",
        /// Dense layers in 8-bit integers.
        Int8 = "int8",
    }
}

named! {
    /// How the range of a tensor that becomes bytes is found.
    RangeMethod {
        /// From the smallest to the largest value that was seen.
        MinMax = "min-max",
        /// Without the outermost values, of which there are as many as a stated share.
        Percentile = "percentile",
        /// The part of that range with the least squared error of the bytes.
        LeastSquares = "least-squares",
    }
}

named! {
    /// What an exported model is put into.
    PackageForm {
        /// A folder with the model and what one must know to feed it.
        Plain = "plain",
        /// The same as a model of a repository of NVIDIA's Triton Inference Server.
        Triton = "triton",
    }
}

named! {
    /// A setting that is there or not.
    Switch {
        /// It is there.
        On = "on",
        /// It is not.
        Off = "off",
    }
}

named! {
    /// Which of its plans tract runs a request on.
    TractPlan {
        /// Whatever is faster for the model, where somebody measures that beforehand; otherwise plans for the counts that
        /// are known, and one for any count where none is.
        Auto = "auto",
        /// One plan, optimised with the candidate count left open.
        Symbolic = "symbolic",
        /// A plan per bucket of candidate counts; a request is padded to the next bucket.
        Bucketed = "bucketed",
    }
}

named! {
    /// How far ONNX Runtime rewrites a graph before running it.
    GraphOptimization {
        /// Not at all.
        Off = "off",
        /// Constants are folded and redundant nodes removed.
        Basic = "basic",
        /// Nodes are fused as well.
        Extended = "extended",
        /// Memory layouts are changed as well.
        Layout = "layout",
        /// Everything that it has.
        All = "all",
    }
}

named! {
    /// Whether inputs and outputs are bound to memory of the session before a run.
    IoBinding {
        /// On a device, where it shows the copies to it and back; not on the processor.
        Auto = "auto",
        /// Always.
        On = "on",
        /// Never: one call copies, runs and copies back.
        Off = "off",
    }
}

named! {
    /// What becomes of numbers below the normal range.
    Denormals {
        /// They are computed with, as IEEE 754 says.
        Kept = "kept",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_forms_read_back() {
        for &layout in Layout::ALL {
            assert_eq!(layout.name().parse::<Layout>().unwrap(), layout);
            assert_eq!(serde_json::to_string(&layout).unwrap(), format!("\"{layout}\""));
        }
        for &rows in RowFormat::ALL {
            assert_eq!(Layout::ItemCached.with_rows(rows).unwrap().rows(), Some(rows));
            assert_eq!(Layout::UserOnce.with_rows(rows), None);
        }
        assert!("user_once".parse::<Layout>().unwrap_err().contains("user-once"));
    }
}

//! From a network to a proved package: written for a serving system, and compared with its reference in every engine
//! before anybody times or serves it.

use super::source::Source;
use crate::{
    base::{
        Error, Result, fsio,
        names::{EngineName, Precision},
        rng,
        stop::Stop,
    },
    data::{dataset::Dataset, encode::Encoders, schema::Schema},
    export::{
        self, Form, Format, Metadata, Reference,
        companions::TestVectors,
        quantise::{Judge, QuantisationReport, QuantiseSettings, quantise},
        write_package,
    },
    learn::network::Network,
    measure::{
        engine::{Engine, SessionOptions, engine},
        gate::{EngineScores, Rounding, gate},
        prove::{ParityReport, ProofTerms, int8_tolerance, prove, test_vectors, tolerance},
        workload::item_rows,
    },
};
use std::{borrow::Cow, path::Path};

/// The proof of a package, beside its model.
pub const CERTIFICATE: &str = "parity.json";

/// What has changed since the version before, beside a model that was trained again.
pub const DRIFT: &str = "drift.json";

/// Rows on which a package is compared with its reference.
pub(super) const PARITY_ROWS: usize = 10_000;

/// Candidates of the request that travels with a package as its test.
const TEST_CANDIDATES: usize = 16;

/// Fails where a package could not be put into a folder, or would be put among the files of a run.
pub(super) fn check_out(folder: &Path) -> Result<()> {
    if folder.join(Source::SETTINGS).exists() {
        let problem = format!(
            "{} is a run, whose schema and encoders those of the package would replace",
            folder.display()
        );
        return Err(Error::usage(problem, "give --out another folder"));
    }
    fsio::check_folder(folder)
}

/// What is said before a package takes the place of one that is in the folder.
pub fn replacing(folder: &Path) -> Option<String> {
    let model = folder.join("model.onnx");
    let (_, metadata) = export::read_signature(&model).ok()?;
    let (model, subnet) = (model.display(), metadata.subnet);
    Some(format!("note: {model}, network {subnet}, will be replaced once the new package is proved"))
}

/// A network with all that belongs into its package.
pub struct Package<'a> {
    /// What is exported: the reference.
    pub network: &'a Network,
    /// What travels inside the file.
    pub metadata: &'a Metadata,
    /// What the columns mean.
    pub schema: &'a Schema,
    /// What makes ids of values.
    pub encoders: &'a Encoders,
    /// Data of that schema and those encoders.
    pub data: &'a Dataset,
    /// In which number format.
    pub numbers: Numbers<'a>,
}

/// The number format of a package.
#[derive(Clone, Copy)]
pub struct Numbers<'a> {
    /// Its name.
    pub precision: Precision,
    /// Data and rows of the training, on which int8 finds its ranges and what layers lose.
    pub calibration: (&'a Dataset, &'a [u32]),
    /// Candidates of real requests, without labels, on which int8 finds its ranges instead.
    pub traffic: Option<&'a Dataset>,
    /// How int8 is made, and what any rounding may cost.
    pub settings: &'a QuantiseSettings,
}

impl Numbers<'_> {
    /// The network whose graph is written in that format, and how it was found.
    fn format<'n>(
        &self,
        network: &'n Network,
        form: &Form,
        seed: u64,
    ) -> Result<(Cow<'n, Network>, Format, Option<QuantisationReport>)> {
        Ok(match self.precision {
            Precision::Fp32 => (Cow::Borrowed(network), Format::Fp32, None),
            Precision::Fp16 => (Format::Fp16.stored(network, form.embeddings), Format::Fp16, None),
            Precision::Int8 => {
                let (data, rows) = self.calibration;
                let rows = draw(rows, usize::MAX, seed);
                let found = quantise(network, form, data, &rows, self.traffic, self.settings)?;
                (Cow::Owned(found.network), Format::Int8(found.integers), Some(found.report))
            }
        })
    }
}

impl Package<'_> {
    /// Writes the package, proves it on up to 10,000 of `rows`, drawn with `seed`, in all of `provers`, and only then puts
    /// it into `folder`, with [`CERTIFICATE`] as the last file.
    ///
    /// A model that some engine scores otherwise than the reference, or whose rounding (of the graph, or of the rows of an item
    /// table) costs more in ranking than it may, is an [`Error::Limit`], and leaves what was in the folder as it was.
    pub fn write(
        &self,
        form: &Form,
        folder: &Path,
        rows: &[u32],
        seed: u64,
        provers: Provers,
    ) -> Result<ParityReport> {
        let form = Form { items: self.items(form)?, ..form.clone() };
        let (stored, format, quantised) = self.numbers.format(self.network, &form, seed)?;
        let model = export::onnx_in(&format, &stored, form, self.metadata)?;
        let reference = Reference::of(&stored, &format);
        let drawn = draw(rows, PARITY_ROWS, seed);
        let item_rows = model.item_table.as_ref().map(|table| table.rows);
        let rounding = Rounding { precision: self.numbers.precision, rows: item_rows };
        let limits = self.numbers.settings.limits;
        let judge = || Judge::new(self.network, self.data, &drawn, rows, limits.top_k);
        let judge = rounding.any().then(judge).transpose()?;
        let tolerance = match (&judge, rounding.precision) {
            (Some(judge), Precision::Int8) => {
                int8_tolerance(judge.scores(), &reference.score(self.data, &drawn)?)
            }
            _ => tolerance(rounding.precision),
        };
        let tested = &rows[..rows.len().min(TEST_CANDIDATES)];
        let vectors = test_vectors(reference, &model, self.data, tested)?;
        let vectors = TestVectors { tolerance, ..vectors };
        fsio::create_dir(folder)?;
        let draft = fsio::temporary_folder_in(folder)?;
        write_package(draft.path(), &model, self.schema, self.encoders, &vectors)?;
        let file = draft.path().join("model.onnx");
        let lists = judge.as_ref().map(Judge::lists);
        let terms = ProofTerms { edges: true, lists, ..tolerance.into() };
        let (mut report, scored) = prove_in(provers, reference, &file, self.data, &drawn, terms)?;
        if let Some(judge) = &judge {
            report.gate = Some(gate(judge, &limits, rounding, &scored, quantised.as_ref())?);
        }
        if let Some(quantised) = &quantised {
            fsio::write_json(&draft.path().join(QuantisationReport::FILE), quantised)?;
        }
        replace(draft.path(), folder)?;
        fsio::write_json(&folder.join(CERTIFICATE), &report)?;
        Ok(report)
    }

    /// How many items the data has, where their rows are kept and the data tells them apart.
    fn items(&self, form: &Form) -> Result<Option<u64>> {
        let keys = self.data.user_keys.is_some() && self.data.item_keys.is_some();
        let counted = form.layout.rows().is_some() && keys;
        counted.then(|| Ok(item_rows(self.data)?.len() as u64)).transpose()
    }
}

/// Who proves a model.
#[derive(Debug, Clone, Copy)]
pub struct Provers<'a> {
    /// The runtimes.
    pub engines: &'a [EngineName],
    /// How their sessions are made: as those that will be timed.
    pub options: &'a SessionOptions,
    /// Ends a proof between two runs of a session; none where nobody asks.
    pub stop: Option<&'a Stop>,
}

/// Up to `count` of `rows`, drawn with `seed`.
pub fn draw(rows: &[u32], count: usize, seed: u64) -> Vec<u32> {
    let mut drawn = rows.to_vec();
    rng::shuffle(&mut drawn, &mut rng::generator(seed, "parity rows"));
    drawn.truncate(count);
    drawn
}

/// Proves a model on `rows` in those of `provers` that compute something: the null engine has nothing that could agree.
pub fn prove_in<'a>(
    provers: Provers<'a>,
    reference: Reference<'a>,
    model: &Path,
    data: &Dataset,
    rows: &[u32],
    terms: impl Into<ProofTerms<'a>>,
) -> Result<(ParityReport, Vec<EngineScores>)> {
    let real = provers.engines.iter().filter(|&&name| name != EngineName::Null);
    let engines = real.map(|&name| engine(name)).collect::<Result<Vec<_>>>()?;
    let engines: Vec<&dyn Engine> = engines.iter().map(AsRef::as_ref).collect();
    let terms = ProofTerms { stop: provers.stop, ..terms.into() };
    prove(reference, model, data, rows, &engines, provers.options, terms)
}

/// Moves all files of `draft` into `folder`, whose certificate goes first: it is not about them. Nor are companions and reports of
/// the package before that this one does not have.
fn replace(draft: &Path, folder: &Path) -> Result<()> {
    let certificate = folder.join(CERTIFICATE);
    if certificate.exists() {
        std::fs::remove_file(&certificate).map_err(|e| Error::io(&certificate, "remove", e))?;
    }
    for name in export::COMPANIONS.into_iter().chain([QuantisationReport::FILE, DRIFT]) {
        fsio::remove(&folder.join(name))?;
    }
    for entry in std::fs::read_dir(draft).map_err(|e| Error::io(draft, "list", e))? {
        let entry = entry.map_err(|e| Error::io(draft, "list", e))?;
        let target = folder.join(entry.file_name());
        if target.is_dir() {
            fsio::remove_dir(&target)?;
        }
        std::fs::rename(entry.path(), &target).map_err(|e| Error::io(&target, "rename into", e))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::synth::{self, SynthSettings};
    use crate::{
        base::names::Layout,
        data::schema::Side,
        learn::network::{Body, Dense, Embedding, NetworkInput},
    };
    use std::{collections::BTreeMap, fs};

    /// Names and contents of the files of a folder, but not of those below it.
    fn content(folder: &Path) -> BTreeMap<String, Vec<u8>> {
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        files
            .filter(|e| e.path().is_file())
            .map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap()))
            .collect()
    }

    #[test]
    fn a_package_that_is_not_proved_leaves_the_one_before_it_with_its_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let settings =
            SynthSettings { requests: 10, candidates: 5, users: 9, items: 9, ..Default::default() };
        let log = synth::write(&settings, &folder.path().join("log")).unwrap();
        let rows: Vec<u32> = (0..log.table.rows() as u32).collect();
        let encoders = Encoders::fit(&log.schema, &log.table, &rows).unwrap();
        let data = encoders.encode(&log.schema, &log.table).unwrap();
        let feature = data.features.iter().find(|feature| feature.cardinality > 0).unwrap();
        let input = |value: f32| NetworkInput {
            feature: feature.name.clone(),
            side: Side::Item,
            width: 1,
            embedding: Embedding::Table { rows: vec![value; feature.cardinality as usize] },
        };
        let network = |value: f32| Network {
            inputs: vec![input(value)],
            body: Body::Mlp(vec![Dense { inputs: 1, outputs: 1, weight: vec![1.0], bias: vec![0.0] }]),
        };
        let out = folder.path().join("out");
        let write = |value: f32, engines: &[EngineName]| {
            let (network, metadata) = (network(value), Metadata::default());
            let package = Package {
                network: &network,
                metadata: &metadata,
                schema: &log.schema,
                encoders: &encoders,
                data: &data,
                numbers: Numbers {
                    precision: Precision::Fp32,
                    calibration: (&data, &rows[..]),
                    traffic: None,
                    settings: &QuantiseSettings::default(),
                },
            };
            let provers = Provers { engines, options: &SessionOptions::PLAIN, stop: None };
            package.write(&Layout::Concat.into(), &out, &rows, 0, provers)
        };
        write(0.5, &[EngineName::Tract]).unwrap();
        let before = content(&out);
        assert!(before.contains_key("model.onnx") && before.contains_key(CERTIFICATE));
        // Scores that are no numbers agree with nothing.
        assert!(matches!(write(f32::NAN, &[EngineName::Tract]), Err(Error::Limit { .. })));
        assert!(write(0.25, &[EngineName::Null]).unwrap_err().to_string().contains("no engine"));
        assert!(content(&out) == before, "{:?}", content(&out).keys());
        let stale = ["item.onnx", "quantisation.json", "drift.json"];
        stale.iter().for_each(|name| fs::write(out.join(name), "of the package before").unwrap());
        write(0.25, &[EngineName::Tract]).unwrap();
        assert!(content(&out)["model.onnx"] != before["model.onnx"]);
        stale.iter().for_each(|name| assert!(!out.join(name).exists(), "{name}"));
        assert!(out.join("test_data_set_0/input_0.pb").exists());
    }
}

//! From a network to a proved package: written for a serving system, and compared with its reference in every engine
//! before anybody times or serves it.

use crate::{
    base::{
        Result,
        names::{EngineName, Layout},
        rng,
    },
    data::{dataset::Dataset, encode::Encoders, schema::Schema},
    export::{self, Metadata, write_package},
    learn::network::Network,
    measure::{
        engine::{Engine, engine},
        prove::{FP32_TOLERANCE, ParityReport, prove, test_vectors},
    },
};
use std::path::Path;

/// Rows on which a package is compared with its reference.
const PARITY_ROWS: usize = 10_000;

/// Candidates of the request that travels with a package as its test.
const TEST_CANDIDATES: usize = 16;

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
}

impl Package<'_> {
    /// Writes the package into `folder` and proves it on up to 10,000 of `rows`, drawn with `seed`, in every engine.
    ///
    /// A model that some engine scores otherwise than the reference is an [`Error::Limit`](crate::base::Error::Limit).
    pub fn write(
        &self,
        layout: Layout,
        folder: &Path,
        rows: &[u32],
        seed: u64,
        engines: &[EngineName],
    ) -> Result<ParityReport> {
        let model = export::onnx(self.network, layout, self.metadata)?;
        let tested = &rows[..rows.len().min(TEST_CANDIDATES)];
        let vectors = test_vectors(self.network, &model.signature, self.data, tested)?;
        write_package(folder, &model, self.schema, self.encoders, &vectors)?;
        // The null engine computes nothing that could agree.
        let real = engines.iter().filter(|&&name| name != EngineName::Null);
        let engines = real.map(|&name| engine(name)).collect::<Result<Vec<_>>>()?;
        let engines: Vec<&dyn Engine> = engines.iter().map(AsRef::as_ref).collect();
        let mut drawn = rows.to_vec();
        rng::shuffle(&mut drawn, &mut rng::generator(seed, "parity rows"));
        drawn.truncate(PARITY_ROWS);
        prove(self.network, &folder.join("model.onnx"), self.data, &drawn, &engines, FP32_TOLERANCE)
    }
}

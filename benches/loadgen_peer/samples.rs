//! Inputs of requests in a safetensors file, and in memory, ready to be run: LoadGen loads its samples before its clock
//! starts, so neither side's response contains their assembly.

use autofas_bench::{
    base::Result,
    measure::{
        engine::{InputTensor, Inputs, TensorData},
        replay::Workload,
    },
};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::{fs, path::Path, sync::Mutex};

/// Tensors are called `REQUEST/PLACE/NAME`; `REQUEST/candidates` has as many rows as the request has candidates.
pub fn write(path: &Path, requests: &[Inputs]) {
    let bytes = |data: &TensorData| match data {
        TensorData::I64(ids) => (Dtype::I64, ids.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>()),
        TensorData::F32(numbers) => (Dtype::F32, numbers.iter().flat_map(|v| v.to_le_bytes()).collect()),
        rows => panic!("the peer reads ids and f32, not {rows:?}"),
    };
    let mut all = Vec::new();
    for (r, inputs) in requests.iter().enumerate() {
        for (t, tensor) in inputs.tensors.iter().enumerate() {
            all.push((format!("{r}/{t}/{}", tensor.name), tensor.shape.to_vec(), bytes(&tensor.data)));
        }
        all.push((format!("{r}/candidates"), vec![inputs.candidates, 0], (Dtype::F32, Vec::new())));
    }
    let views = all.iter().map(|(name, shape, (dtype, bytes))| {
        (name, TensorView::new(*dtype, shape.clone(), bytes).expect("as many bytes as the shape says"))
    });
    fs::write(path, safetensors::serialize(views, None).expect("tensors")).expect("a folder to write to");
}

/// What [`write`] has written.
pub fn read(path: &Path) -> Vec<Inputs> {
    let bytes = fs::read(path).expect("the inputs");
    let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let mut requests: Vec<Inputs> = Vec::new();
    let mut places: Vec<Vec<usize>> = Vec::new();
    for (name, view) in file.iter() {
        let mut parts = name.splitn(3, '/');
        let mut part = || parts.next().unwrap_or_default();
        let request: usize = part().parse().expect("the number of a request");
        if requests.len() <= request {
            requests.resize_with(request + 1, Inputs::default);
            places.resize_with(request + 1, Vec::new);
        }
        match (part(), part()) {
            ("candidates", _) => requests[request].candidates = view.shape()[0],
            (place, name) => {
                places[request].push(place.parse().expect("the place of a tensor"));
                requests[request].tensors.push(tensor(name, &view));
            }
        }
    }
    for (inputs, places) in requests.iter_mut().zip(places) {
        let mut ordered: Vec<_> = places.into_iter().zip(std::mem::take(&mut inputs.tensors)).collect();
        ordered.sort_by_key(|(place, _)| *place);
        inputs.tensors = ordered.into_iter().map(|(_, tensor)| tensor).collect();
    }
    requests
}

fn tensor(name: &str, view: &TensorView<'_>) -> InputTensor {
    let (bytes, shape) = (view.data(), [view.shape()[0], view.shape()[1]]);
    let data = match view.dtype() {
        Dtype::I64 => {
            TensorData::I64(bytes.as_chunks().0.iter().map(|chunk| i64::from_le_bytes(*chunk)).collect())
        }
        _ => TensorData::F32(bytes.as_chunks().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect()),
    };
    InputTensor { name: name.to_owned(), shape, data }
}

/// Requests whose inputs are there already. One worker takes those of its request and puts back those of the one before.
pub struct Ready {
    candidates: Vec<usize>,
    slots: Mutex<(Vec<Inputs>, Option<usize>)>,
    samples: Vec<usize>,
}

impl Ready {
    /// Request `i` is sample `samples[i]`.
    pub fn new(inputs: Vec<Inputs>, samples: Vec<usize>) -> Self {
        let candidates = samples.iter().map(|&sample| inputs[sample].candidates).collect();
        Self { candidates, slots: Mutex::new((inputs, None)), samples }
    }
}

impl Workload for Ready {
    fn requests(&self) -> usize {
        self.samples.len()
    }

    fn candidates(&self, request: usize) -> usize {
        self.candidates[request]
    }

    fn inputs(&self) -> Inputs {
        Inputs::default()
    }

    fn prepare(&self, request: usize, inputs: &mut Inputs) -> Result<()> {
        let mut slots = self.slots.lock().expect("one worker");
        let (all, held) = &mut *slots;
        if let Some(before) = held.replace(self.samples[request]) {
            std::mem::swap(&mut all[before], inputs);
        }
        std::mem::swap(&mut all[self.samples[request]], inputs);
        Ok(())
    }
}

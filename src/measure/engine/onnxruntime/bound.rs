//! Inputs and outputs in memory that belongs to the session, so that copying there, computing and copying back are three
//! times and not one.
//!
//! On a device the copy back goes through ONNX Runtime's own way from memory to memory, a graph of one node whose call is
//! part of that time; `io_binding=off` shows what the plain call takes.

use crate::measure::engine::{InputTensor, Inputs, Parts, TensorData};
use half::f16;
use ort::{
    Error,
    memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType},
    session::{IoBinding, Session},
    value::{DynTensor, DynTensorValueType, PrimitiveTensorElementType, Tensor, TensorRef},
};
use std::{fmt::Debug, time::Instant};

/// Where a session's memory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Memory {
    /// The processor's.
    Host,
    /// That of the first CUDA device, which TensorRT uses as well.
    Device,
}

/// An input in memory of the processor that is bound already; a request of the same shape is copied into it.
enum HostTensor {
    I64(Tensor<i64>),
    F32(Tensor<f32>),
    F16(Tensor<f16>),
    I8(Tensor<i8>),
}

/// The binding of one session.
pub(super) struct Bound {
    binding: IoBinding,
    memory: Memory,
    /// Name of the output that holds the scores.
    output: String,
    /// Candidates that the output has room for. It is kept from run to run, and ONNX Runtime refuses to change its shape.
    room: Option<usize>,
    /// With their shapes, in the order of the inputs; unused on a device.
    inputs: Vec<([usize; 2], HostTensor)>,
    /// Of the last run.
    pub(super) parts: Parts,
}

impl Bound {
    pub(super) fn new(session: &Session, memory: Memory) -> Result<Self, Error> {
        let output = session.outputs().first().map(|output| output.name().to_owned());
        let output = output.ok_or_else(|| Error::new("the graph has no output"))?;
        let binding = session.create_binding()?;
        Ok(Self { binding, memory, output, room: None, inputs: Vec::new(), parts: Parts::default() })
    }

    /// Asks for an output of another shape in the session's memory; it is allocated in the run that follows.
    fn make_room(&mut self, candidates: usize) -> Result<(), Error> {
        let device = match self.memory {
            Memory::Host => AllocationDevice::CPU,
            Memory::Device => AllocationDevice::CUDA,
        };
        let place = MemoryInfo::new(device, 0, AllocatorType::Device, MemoryType::Default)?;
        self.binding.clear_outputs();
        self.binding.bind_output_to_device(&self.output, &place)?;
        self.room = Some(candidates);
        Ok(())
    }

    pub(super) fn run(
        &mut self,
        session: &mut Session,
        inputs: &Inputs,
        scores: &mut Vec<f32>,
    ) -> Result<(), Error> {
        let begun = Instant::now();
        for (index, tensor) in inputs.tensors.iter().enumerate() {
            match self.memory {
                Memory::Host => self.copy_on_host(index, tensor)?,
                Memory::Device => self.copy_to_device(tensor)?,
            }
        }
        if self.room != Some(inputs.candidates) {
            self.make_room(inputs.candidates)?;
        }
        self.binding.synchronize_inputs()?;
        let copied = Instant::now();
        let mut outputs = session.run_binding(&self.binding)?;
        self.binding.synchronize_outputs()?;
        let ran = Instant::now();
        let output = outputs.remove(&self.output).ok_or_else(|| Error::new("the scores are missing"))?;
        let output: DynTensor = output.downcast::<DynTensorValueType>()?;
        scores.clear();
        match self.memory {
            Memory::Host => scores.extend_from_slice(output.try_extract_tensor::<f32>()?.1),
            Memory::Device => {
                let host = output.to(AllocationDevice::CPU, 0)?;
                scores.extend_from_slice(host.try_extract_tensor::<f32>()?.1);
            }
        }
        self.parts = Parts { copy_in: copied - begun, run: ran - copied, copy_out: ran.elapsed() };
        Ok(())
    }

    /// Copies into the tensor that is bound; one of another shape takes its place first.
    fn copy_on_host(&mut self, index: usize, tensor: &InputTensor) -> Result<(), Error> {
        let bound = self.inputs.get(index).is_some_and(|(shape, _)| *shape == tensor.shape);
        if !bound {
            let new = HostTensor::bind(&mut self.binding, tensor)?;
            self.inputs.truncate(index);
            self.inputs.push((tensor.shape, new));
        }
        match (&mut self.inputs[index].1, &tensor.data) {
            (HostTensor::I64(own), TensorData::I64(ids)) => own.extract_tensor_mut().1.copy_from_slice(ids),
            (HostTensor::F32(own), TensorData::F32(numbers)) => {
                own.extract_tensor_mut().1.copy_from_slice(numbers);
            }
            (HostTensor::F16(own), TensorData::F16(values)) => {
                own.extract_tensor_mut().1.copy_from_slice(values);
            }
            (HostTensor::I8(own), TensorData::I8(values)) => {
                own.extract_tensor_mut().1.copy_from_slice(values)
            }
            _ => return Err(Error::new(format!("`{}` has changed its type", tensor.name))),
        }
        Ok(())
    }

    /// Binding is copying, where the memory is another's.
    fn copy_to_device(&mut self, tensor: &InputTensor) -> Result<(), Error> {
        let (name, shape) = (&tensor.name, tensor.shape);
        match &tensor.data {
            TensorData::I64(ids) => {
                self.binding.bind_input(name, &*TensorRef::from_array_view((shape, &ids[..]))?)
            }
            TensorData::F32(numbers) => {
                self.binding.bind_input(name, &*TensorRef::from_array_view((shape, &numbers[..]))?)
            }
            TensorData::F16(values) => {
                self.binding.bind_input(name, &*TensorRef::from_array_view((shape, &values[..]))?)
            }
            TensorData::I8(values) => {
                self.binding.bind_input(name, &*TensorRef::from_array_view((shape, &values[..]))?)
            }
        }
    }
}

impl HostTensor {
    fn bind(binding: &mut IoBinding, tensor: &InputTensor) -> Result<Self, Error> {
        Ok(match &tensor.data {
            TensorData::I64(_) => Self::I64(bound(binding, tensor)?),
            TensorData::F32(_) => Self::F32(bound(binding, tensor)?),
            TensorData::F16(_) => Self::F16(bound(binding, tensor)?),
            TensorData::I8(_) => Self::I8(bound(binding, tensor)?),
        })
    }
}

/// A new tensor of that shape, bound.
fn bound<T: PrimitiveTensorElementType + Debug>(
    binding: &mut IoBinding,
    tensor: &InputTensor,
) -> Result<Tensor<T>, Error> {
    let own = Tensor::<T>::new(&Allocator::default(), tensor.shape)?;
    binding.bind_input(&tensor.name, &own)?;
    Ok(own)
}

#!/usr/bin/env python3
"""Checks models of a Triton repository with Triton's own message definitions: check_triton.py REPOSITORY/MODEL...

config.pbtxt parses as a ModelConfig, names the folder, and declares inputs and outputs as every version's graph has them;
warm-up requests have files of the right size, on which onnxruntime gives the scores of the newest version's test request within its
tolerance. Prints a JSON line
per model; exits with 1 at the first failure.
"""

import importlib.util
import json
import sys
from pathlib import Path

try:
    import numpy as np
    import onnxruntime
    from google.protobuf import text_format
except ImportError as missing:
    sys.exit(f"Python package missing: {missing.name}; run ./scripts/test, which installs it")


def definitions():
    """model_config.proto as tritonclient ships it; the package itself would want gRPC."""
    found = importlib.util.find_spec("tritonclient")
    if not found:
        sys.exit("Python package missing: tritonclient; run ./scripts/test, which installs it")
    path = Path(found.submodule_search_locations[0]) / "grpc" / "model_config_pb2.py"
    spec = importlib.util.spec_from_file_location("model_config_pb2", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PB = definitions()
TYPES = {
    "tensor(int64)": (PB.TYPE_INT64, np.int64),
    "tensor(float)": (PB.TYPE_FP32, np.float32),
    "tensor(float16)": (PB.TYPE_FP16, np.float16),
    "tensor(int8)": (PB.TYPE_INT8, np.int8),
}


def expect(folder, what, found, wanted):
    if found != wanted:
        sys.exit(f"{folder}: {what} is {found}, not {wanted}")


def declared(values):
    return {v.name: (v.data_type, list(v.dims)) for v in values}


def graph(values):
    return {v.name: (TYPES[v.type][0], [d if isinstance(d, int) else -1 for d in v.shape]) for v in values}


def check(folder):
    config = text_format.Parse((folder / "config.pbtxt").read_text(), PB.ModelConfig())
    expect(folder, "name", config.name, folder.name)
    expect(folder, "max_batch_size", config.max_batch_size, 0)
    expect(folder, "dynamic batching", config.HasField("dynamic_batching"), False)
    versions = sorted(int(f.name) for f in folder.iterdir() if f.name.isdigit())
    for version in versions:
        model = str(folder / str(version) / "model.onnx")
        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        expect(folder, "the inputs", declared(config.input), graph(session.get_inputs()))
        expect(folder, "the outputs", declared(config.output), graph(session.get_outputs()))
    vectors = json.loads((folder / str(versions[-1]) / "test_vectors.json").read_text())
    elements = {value.name: TYPES[value.type][1] for value in session.get_inputs()}
    for warmup in config.model_warmup:
        feed = {}
        for name, sample in warmup.inputs.items():
            values = np.fromfile(folder / "warmup" / sample.input_data_file, dtype=elements[name])
            feed[name] = values.reshape(list(sample.dims))
        (scores,) = session.run(["scores"], feed)
        if not np.max(np.abs(scores - np.array(vectors["scores"], np.float32))) <= vectors["tolerance"]:
            sys.exit(f"{folder}: the warm-up request scores {scores}")
    summary = {"model": config.name, "versions": versions, "warmups": len(config.model_warmup)}
    print(json.dumps(summary))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    for argument in sys.argv[1:]:
        check(Path(argument))

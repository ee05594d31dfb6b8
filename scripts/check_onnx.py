#!/usr/bin/env python3
"""Checks exported packages with Python's own tools.

For every folder given: model.onnx (and item.onnx, where there is one) passes the ONNX checker (full check, with shape
inference); onnxruntime and OpenVINO give the scores of test_vectors.json within its tolerance, except that OpenVINO has no trees; and
ONNX's backend test runner reads test_data_set_0 and finds the same. Prints one JSON line per folder; exits with 1 at the first failure.
"""

import json
import sys
import unittest
from pathlib import Path

try:
    import numpy as np
    import onnx
    import onnx.backend.base
    import onnxruntime
    import openvino
    from onnx.backend.test.case.test_case import TestCase
    from onnx.backend.test.runner import Runner
except ImportError as missing:
    sys.exit(f"Python package missing: {missing.name}; run ./scripts/test, which installs it")

TOLERANCE = 1e-5
NOT_IN_OPENVINO = {"TreeEnsembleClassifier"}
TYPES = {"tensor(int64)": np.int64, "tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int8)": np.int8}


def tensor(vector, element):
    values = [np.nan if value is None else value for value in vector["values"]]
    return np.array(values, dtype=TYPES[element]).reshape(vector["shape"])


def openvino_scores(path, feed):
    # Scores in f32, whatever the processor would rather compute in.
    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return compiled(feed)["scores"]


class OnnxRuntime(onnx.backend.base.Backend):
    """The package's own folder, for ONNX's runner: models with external data load from their path."""

    path = None

    @classmethod
    def prepare(cls, model, device="CPU", **kwargs):
        session = onnxruntime.InferenceSession(cls.path, providers=["CPUExecutionProvider"])
        names = [value.name for value in session.get_inputs()]

        class Prepared(onnx.backend.base.BackendRep):
            def run(self, inputs, **kwargs):
                return session.run(None, dict(zip(names, inputs, strict=True)))

        return Prepared()

    @classmethod
    def supports_device(cls, device):
        return device == "CPU"


class PackageRunner(Runner):
    """ONNX's runner of backend tests with one package instead of ONNX's own models."""

    def __init__(self, folder, tolerance):
        # What Runner.__init__ does, without loading ONNX's models.
        self.backend = OnnxRuntime
        self._parent_module = None
        self._include_patterns = self._exclude_patterns = self._xfail_patterns = set()
        self._test_kwargs = {}
        self._test_items = {"RealModel": {}}
        case = TestCase("test_package", "package", None, str(folder), None, None, "real", rtol=0, atol=tolerance)
        self._add_model_test(case, "Real")


def run_data_set(folder, path, tolerance):
    OnnxRuntime.path = path
    result = unittest.TestResult()
    PackageRunner(folder, tolerance).test_suite.run(result)
    wrong = result.errors + result.failures
    if wrong or result.testsRun - len(result.skipped) < 1:
        sys.exit(f"{folder}: ONNX's runner does not pass test_data_set_0: {wrong[0][1] if wrong else 'it ran nothing'}")


def check(folder):
    path = str(folder / "model.onnx")
    for name in ("model.onnx", "item.onnx"):
        if (folder / name).exists():
            onnx.checker.check_model(str(folder / name), full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    vectors = json.loads((folder / "test_vectors.json").read_text())
    elements = {value.name: value.type for value in session.get_inputs()}
    feed = {vector["name"]: tensor(vector, elements[vector["name"]]) for vector in vectors["inputs"]}
    expected = np.array(vectors["scores"], dtype=np.float32)
    # Wider where the numbers of a graph are rounded.
    tolerance = vectors.get("tolerance", TOLERANCE)
    runtimes = {"onnxruntime": lambda: session.run(["scores"], feed)[0]}
    if not any(node.op_type in NOT_IN_OPENVINO for node in onnx.load(path, load_external_data=False).graph.node):
        runtimes["openvino"] = lambda: openvino_scores(path, feed)
    differences = {}
    for runtime, run in runtimes.items():
        scores = run()
        if scores.shape != expected.shape:
            sys.exit(f"{folder}: {runtime} gives scores of shape {scores.shape} instead of {expected.shape}")
        difference = float(np.max(np.abs(scores - expected)))
        if not difference <= tolerance:
            sys.exit(f"{folder}: scores of {runtime} differ by {difference:g}, more than {tolerance:g}")
        differences[runtime] = difference
    run_data_set(folder, path, tolerance)
    print(json.dumps({"folder": str(folder), "candidates": len(expected), "max_abs_difference": differences}))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(f"usage: {sys.argv[0]} PACKAGE_FOLDER...")
    for argument in sys.argv[1:]:
        check(Path(argument))

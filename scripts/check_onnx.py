#!/usr/bin/env python3
"""Checks exported packages with Python's own tools.

For every folder given: model.onnx passes the ONNX checker (full check, with shape inference), and onnxruntime
gives the scores of test_vectors.json within 1e-5. Prints one JSON line per folder; exits with 1 at the first failure.
"""

import json
import sys
from pathlib import Path

try:
    import numpy as np
    import onnx
    import onnxruntime
except ImportError as missing:
    sys.exit(f"Python package missing: {missing.name}; run ./scripts/test, which installs it")

TOLERANCE = 1e-5
TYPES = {"tensor(int64)": np.int64, "tensor(float)": np.float32}


def tensor(vector, element):
    values = [np.nan if value is None else value for value in vector["values"]]
    return np.array(values, dtype=TYPES[element]).reshape(vector["shape"])


def check(folder):
    path = str(folder / "model.onnx")
    onnx.checker.check_model(path, full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    vectors = json.loads((folder / "test_vectors.json").read_text())
    elements = {value.name: value.type for value in session.get_inputs()}
    feed = {vector["name"]: tensor(vector, elements[vector["name"]]) for vector in vectors["inputs"]}
    (scores,) = session.run(["scores"], feed)
    expected = np.array(vectors["scores"], dtype=np.float32)
    if scores.shape != expected.shape:
        sys.exit(f"{folder}: scores of shape {scores.shape} instead of {expected.shape}")
    difference = float(np.max(np.abs(scores - expected)))
    if not difference <= TOLERANCE:
        sys.exit(f"{folder}: scores differ by {difference:g}, more than {TOLERANCE:g}")
    print(json.dumps({"folder": str(folder), "candidates": len(scores), "max_abs_difference": difference}))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(f"usage: {sys.argv[0]} PACKAGE_FOLDER...")
    for argument in sys.argv[1:]:
        check(Path(argument))

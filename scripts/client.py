"""Scores the request that travels with the package in the current folder."""
import json
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
request = json.load(open("test_vectors.json"))
numbers = {"tensor(int64)": np.int64, "tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int8)": np.int8}
types = {input.name: numbers[input.type] for input in session.get_inputs()}
feed = {t["name"]: np.array(t["values"], types[t["name"]]).reshape(t["shape"]) for t in request["inputs"]}
(scores,) = session.run(["scores"], feed)
print(json.dumps(scores.tolist()))

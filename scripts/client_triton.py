"""Asks a Triton server for the scores of the request that travels with the package in the current folder."""
import json
import numpy as np
import tritonclient.http as triton
from tritonclient.utils import triton_to_np_dtype

client = triton.InferenceServerClient("localhost:8000")
request = json.load(open("test_vectors.json"))
types = {t["name"]: t["datatype"] for t in client.get_model_metadata("pre_ranker")["inputs"]}
inputs = []
for t in request["inputs"]:
    values = np.array(t["values"], triton_to_np_dtype(types[t["name"]])).reshape(t["shape"])
    inputs.append(triton.InferInput(t["name"], t["shape"], types[t["name"]]))
    inputs[-1].set_data_from_numpy(values)
answer = client.infer("pre_ranker", inputs)
print(json.dumps(answer.as_numpy("scores").tolist()))

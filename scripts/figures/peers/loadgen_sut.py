"""MLPerf LoadGen's Server scenario over one worker, once; prints one line of JSON.

usage: loadgen_sut.py ENGINE INPUTS.safetensors FOLDER --qps Q --requests N --seed S [--inline] [--plan PLAN.json]

ENGINE is a model for onnxruntime, or sleep:MICROSECONDS. Percentiles are those of LoadGen's own summary. With --plan, LoadGen's trace
is on, and what it drew (arrivals in µs from the first, samples) goes to that file; such a run is not for timing.
"""

import argparse
import json
import queue
import re
import sys
import threading
import time
from pathlib import Path

import mlperf_loadgen as loadgen
import numpy

WARMUP = 20
"""As the other side."""


def read_inputs(path):
    """Per sample the inputs by name, and the number of candidates: the file of loadgen_peer, whose format needs no package."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    samples, candidates = {}, {}
    for name, tensor in json.loads(data[8:start]).items():
        if name == "__metadata__":
            continue
        sample, place, *rest = name.split("/", 2)
        if place == "candidates":
            candidates[int(sample)] = tensor["shape"][0]
            continue
        begin, end = (start + offset for offset in tensor["data_offsets"])
        values = numpy.frombuffer(data[begin:end], {"I64": "<i8", "F32": "<f4"}[tensor["dtype"]])
        samples.setdefault(int(sample), {})[rest[0]] = values.reshape(tensor["shape"])
    return [samples.get(i, {}) for i in range(len(candidates))]


def engine(text, samples):
    """What serves sample i."""
    if text.startswith("sleep:"):
        seconds = int(text.removeprefix("sleep:")) / 1e6
        return (lambda i: time.sleep(seconds)) if seconds else (lambda i: None)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # As the engine of this program makes its sessions.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(text, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda i: session.run(names, samples[i])


class Inline:
    """Serves in LoadGen's own thread, which issues the next request when this one is answered, and keeps what it saw."""

    def __init__(self, serve):
        self.serve = serve
        self.service_ns, self.around_ns = [], []

    def answer(self, sample):
        taken = time.perf_counter_ns()
        response = loadgen.QuerySampleResponse(sample.id, 0, 0)
        begun = time.perf_counter_ns()
        self.serve(sample.index)
        ended = time.perf_counter_ns()
        loadgen.QuerySamplesComplete([response])
        self.service_ns.append(ended - begun)
        self.around_ns.append(time.perf_counter_ns() - taken - (ended - begun))

    def issue(self, samples):
        for sample in samples:
            self.answer(sample)

    def end(self):
        pass


class Worker(Inline):
    """Serves in one thread from a queue."""

    def __init__(self, serve):
        super().__init__(serve)
        self.queue = queue.SimpleQueue()
        self.thread = threading.Thread(target=self.work)
        self.thread.start()

    def work(self):
        while (sample := self.queue.get()) is not None:
            self.answer(sample)

    def issue(self, samples):
        for sample in samples:
            self.queue.put(sample)

    def end(self):
        self.queue.put(None)
        self.thread.join()


def settings(arguments, samples):
    chosen = loadgen.TestSettings()
    chosen.scenario, chosen.mode = loadgen.TestScenario.Server, loadgen.TestMode.PerformanceOnly
    chosen.server_target_qps = arguments.qps
    chosen.min_query_count = chosen.max_query_count = arguments.requests
    chosen.min_duration_ms = 0
    chosen.performance_sample_count_override = samples
    chosen.schedule_rng_seed = chosen.sample_index_rng_seed = chosen.qsl_rng_seed = arguments.seed
    return chosen


def log_settings(arguments):
    log = loadgen.LogSettings()
    log.log_output.outdir = str(arguments.folder)
    log.log_output.copy_summary_to_stdout = False
    log.enable_trace = arguments.plan is not None
    return log


def summary(folder):
    text = (folder / "mlperf_log_summary.txt").read_text()
    percentile = lambda name: int(re.search(rf"^{re.escape(name)} percentile latency \(ns\)\s*: (\d+)", text, re.M).group(1)) / 1000
    return {"p50": percentile("50.00"), "p90": percentile("90.00"), "p99": percentile("99.00")}


def plan(folder):
    """What LoadGen drew, from its trace."""
    text = (folder / "mlperf_log_trace.json").read_text()
    drawn = {}
    for line in text.splitlines():
        if '"name":"Sample"' in line.replace(" ", "") and '"sample_idx"' in line:
            event = json.loads(line.strip().rstrip(","))
            drawn[event["args"]["sample_seq"]] = (event["ts"], event["args"]["sample_idx"])
    order = [drawn[sequence] for sequence in sorted(drawn)]
    first = order[0][0]
    return {"arrivals_us": [round(ts - first) for ts, _ in order], "samples": [index for _, index in order]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("engine")
    parser.add_argument("inputs", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--qps", type=float, required=True)
    parser.add_argument("--requests", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--inline", action="store_true")
    parser.add_argument("--plan", type=Path)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    samples = read_inputs(arguments.inputs)
    serve = engine(arguments.engine, samples)
    for i in range(WARMUP):
        serve(i % len(samples))
    # The issuing thread needs the interpreter too; it gets it at once and not after 5 ms.
    sys.setswitchinterval(1e-5)
    worker = (Inline if arguments.inline else Worker)(serve)
    sut = loadgen.ConstructSUT(worker.issue, lambda: None)
    qsl = loadgen.ConstructQSL(len(samples), len(samples), lambda _: None, lambda _: None)
    loadgen.StartTestWithLogSettings(sut, qsl, settings(arguments, len(samples)), log_settings(arguments))
    worker.end()
    loadgen.DestroyQSL(qsl)
    loadgen.DestroySUT(sut)
    if arguments.plan:
        arguments.plan.write_text(json.dumps(plan(arguments.folder)))
    median = lambda ns: float(numpy.median(ns)) / 1000
    answer = {
        "response_us": summary(arguments.folder) | {"count": len(worker.service_ns)},
        "service_us": {"p50": median(worker.service_ns), "mean": float(numpy.mean(worker.service_ns)) / 1000},
        "around_us": {"p50": median(worker.around_ns), "mean": float(numpy.mean(worker.around_ns)) / 1000},
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()

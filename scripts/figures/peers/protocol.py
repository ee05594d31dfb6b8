"""What all peers share: how they are run and how they are spoken to.

A peer lives as long as its figure is measured. It prints `{"ready": {...}}` when it has built its networks. Then each line
`NAME COUNT` on standard input runs COUNT steps of NAME, and the answer is one line: `{"ms": [...]}` with the time of each, and what
else the workload tells. `memory reset` and `memory peak` are about the process's largest resident size. The end of the input ends it.
"""

import json
import os
import sys
import time

import torch

TOLERANCE = 1e-4
"""Losses of two ways to compute the same agree within this."""

THREADS = int(os.environ.get("FIGURES_THREADS", os.cpu_count()))


def best_practice():
    """As fast as PyTorch goes on a CPU without changing a result: all cores, no denormals."""
    torch.set_num_threads(THREADS)
    torch.set_flush_denormal(True)
    torch.manual_seed(1)


def milliseconds(step):
    begin = time.perf_counter()
    step()
    return (time.perf_counter() - begin) * 1e3


def fastest(variants, warmup=6, rounds=6):
    """The fastest of several ways to run the same step: `{name: make}`, where make() gives a step that returns its loss.

    Returns its name, its step and the minimum of each; they take turns. All begin alike, and the first one's losses are right: a
    variant with other losses does not count, nor does one that cannot run here (torch.compile wants a C++ compiler).
    """
    steps, notes, right = {}, {}, None
    for name, make in variants.items():
        try:
            torch.manual_seed(1)
            step = make()
            losses = [step() for _ in range(warmup)]
        except Exception as error:  # noqa: BLE001 - whatever it is, the other variants still count
            notes[name] = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
            continue
        right = right or losses
        apart = max(abs(a - b) for a, b in zip(losses, right))
        if apart < TOLERANCE:
            steps[name] = step
        else:
            notes[name] = f"wrong: its losses are {apart:.2g} apart"
    times = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            times[name].append(milliseconds(step))
    best = {name: round(min(found), 2) for name, found in times.items()}
    name = min(best, key=best.get)
    return name, steps[name], best | notes


def peak_memory_bytes():
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def serve(workloads, ready):
    """Answers lines until the input ends; `workloads` maps a name to a step, or to a function of the count that answers itself."""
    print(json.dumps({"ready": {"torch": torch.__version__, "threads": THREADS} | ready}), flush=True)
    for line in sys.stdin:
        name, argument = line.split(maxsplit=1)
        argument = argument.strip()
        if name == "memory" and argument == "reset":
            with open("/proc/self/clear_refs", "w") as refs:
                refs.write("5")
            answer = {"peak_memory_bytes": peak_memory_bytes()}
        elif name == "memory":
            answer = {"peak_memory_bytes": peak_memory_bytes()}
        else:
            found = workloads[name](int(argument))
            answer = found if isinstance(found, dict) else {"ms": found}
        print(json.dumps(answer), flush=True)


def repeated(step):
    """A workload that times every step by itself."""
    return lambda count: [milliseconds(step) for _ in range(count)]

"""Two long-lived processes that take turns, and what their times say about each other."""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("AUTOFAS_BENCH_DATA", ROOT / ".data"))
"""Where the data of docs/data.md lie."""
IMPRESSIONS = DATA / "kuairand" / "impressions.parquet"

SETTLE_S = 0.3
"""Before each turn: the threads of the other process spin for a while after its last step."""


PROGRAM = "autofas-bench"


def build(target, *options, fix=""):
    """Compiles the program or a bench, with further options of cargo, and returns where it is."""
    words = ["build", "--release"] if target == PROGRAM else ["bench", "--no-run", "--bench", target]
    command = ["cargo", *words, "--locked", *options, "--message-format=json-render-diagnostics"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(f"error: {target} was not built; cargo's own words stand above{fix and f'{chr(10)}  fix: {fix}'}")
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    return next(m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == target)


class Peer:
    """A process that speaks the protocol of protocol.py."""

    def __init__(self, command):
        self.command = [str(part) for part in command]
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.ready = self._answer()["ready"]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()

    def ask(self, line):
        time.sleep(SETTLE_S)
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{' '.join(self.command)} ended with exit code {self.process.wait()}; its own words stand above")
        return json.loads(line)


def busy_ticks():
    """Ticks that all processors were busy since the start of the machine, work stolen by its host included."""
    with open("/proc/stat") as stat:
        user, nice, system, _, _, irq, softirq, steal = map(int, stat.readline().split()[1:9])
    return user + nice + system + irq + softirq + steal


def ticks_of(process):
    """Ticks that a process was busy."""
    with open(f"/proc/{process.pid}/stat") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


class OtherWork:
    """The share of all processors' time that neither side took."""

    def __init__(self, *peers):
        self.processes = list({peer.process for peer in peers})
        self.begin, self.busy, self.own = time.monotonic(), busy_ticks(), self._own()

    def _own(self):
        return sum(ticks_of(process) for process in self.processes)

    def share(self):
        available = (time.monotonic() - self.begin) * os.sysconf("SC_CLK_TCK") * os.cpu_count()
        return max(0, busy_ticks() - self.busy - (self._own() - self.own)) / available


def turns(ours, theirs, line, rounds, key="ms"):
    """Asks both `line` by turns, who begins changing with the round. The numbers under `key` of either, round by round."""
    answers = alternate(line.split()[0], ((ours, line), (theirs, line)), rounds)
    return [[answer[key] for answer in side] for side in answers], answers


def alternate(name, sides, rounds):
    """Asks each (peer, line) by turns, who begins changing with the round. The answers to each, round by round."""
    answers = [[] for _ in sides]
    others = OtherWork(*(peer for peer, _ in sides))
    for turn in range(rounds):
        for step in range(len(sides)):
            side = (turn + step) % len(sides)
            peer, line = sides[side]
            answers[side].append(peer.ask(line))
    figure(f"{name}, other work on the processors meanwhile", others.share(), "of their time", 0.02)
    return answers


class Ratio:
    """Ours over theirs. The spread is half of what the ratios of single rounds differ by, as a share of their median."""

    def __init__(self, ours, theirs):
        flat = [[ms for turn in side for ms in turn] for side in (ours, theirs)]
        self.minima = [min(side) for side in flat]
        self.medians = [statistics.median(side) for side in flat]
        self.of_minima = self.minima[0] / self.minima[1]
        self.of_medians = self.medians[0] / self.medians[1]
        of_rounds = [[min(a) / min(b) for a, b in zip(ours, theirs)], [statistics.median(a) / statistics.median(b) for a, b in zip(ours, theirs)]]
        self.spread_of_minima, self.spread_of_medians = map(half_range, of_rounds)


NOISE = 0.03
"""A ratio whose spread is larger is void: it neither reaches its goal nor misses it."""


def figure(name, value, unit, goal=None, at_most=True, spread=None):
    """Prints one figure. Without a goal it is there to read the others by; without an answer it is too noisy to judge."""
    ok = None
    if goal is not None and (spread is None or spread <= NOISE):
        ok = bool(value <= goal if at_most else value >= goal)
    judged_figure(name, value, unit, goal, ok, spread)


def judged_figure(name, value, unit, goal, ok, spread):
    """Prints one figure that was judged already."""
    line = {"name": name, "value": float(f"{value:.5g}"), "unit": unit, "goal": goal, "ok": ok}
    print(json.dumps(line | {"spread": None if spread is None else round(spread, 4)}, ensure_ascii=False), flush=True)


def bound_figure(name, rounds, unit, goal=None, at_most=True):
    """Prints the median of rounds against a bound. Kept by all of them it is reached, by none it is missed; otherwise it is too noisy
    to judge. The spread is half of what they differ by, as a share of the median."""
    ok = None if goal is None else agreed([value <= goal if at_most else value >= goal for value in rounds])
    judged_figure(name, statistics.median(rounds), unit, goal, ok, half_range(rounds))


def agreed(kept):
    """Whether all rounds kept a bound; None where some did and some did not."""
    return all(kept) if any(kept) == all(kept) else None


def half_range(rounds):
    """Half of what rounds differ by, as a share of their median."""
    median = statistics.median(rounds)
    return (max(rounds) - min(rounds)) / 2 / median if median else 0.0


def ratio_figures(name, ratio, goal, peer="PyTorch"):
    """The ratios of minima and of medians, and the times behind them."""
    figure(f"{name}, ratio of minima", ratio.of_minima, f"of {peer}'s time", goal, spread=ratio.spread_of_minima)
    figure(f"{name}, ratio of medians", ratio.of_medians, f"of {peer}'s time", goal, spread=ratio.spread_of_medians)
    for whose, minimum, median in zip(("ours", f"{peer}'s"), ratio.minima, ratio.medians):
        figure(f"{name}, {whose}, minimum", minimum, "ms")
        figure(f"{name}, {whose}, median", median, "ms")

"""The program, run in a folder, and the experiment that a script of figures runs it on."""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from alternation import IMPRESSIONS, PROGRAM, ROOT, build

SMALL = """
[data]
schema = "log/schema.toml"
path = "log/log.parquet"
[space]
mixops = [[64, 32, "zero"], [32, 16, "zero"]]
[target]
engine = "tract"
engines = ["tract"]
candidates = 100
[probe]
passes = 2
block_ms = 2
repeats = 0
"""
"""Over a synthetic log, to try a script in seconds."""

LITTLE_TRAINING = {
    "teacher.ensemble": 1,
    "teacher.max_epochs": 1,
    "search.epochs": 1,
    "retrain.max_epochs": 1,
    "baseline.max_epochs": 1,
}
"""Settings of a run whose networks are only timed: latency does not depend on training."""


PLANTED_REQUESTS = {"small": 1000, "medium": 4000, "large": 16000}
"""Of 20 rows each."""


def planted_size(requests):
    """Options of `data synth`: there are one and a half times as many users, and 0.8 times as many items."""
    return ["--requests", requests, "--users", requests * 3 // 2, "--items", requests * 4 // 5]


def say(text):
    print(text, file=sys.stderr, flush=True)


def repeated(option, values):
    return [word for value in values for word in (option, value)]


def settings(values):
    """Options that set these keys of the experiment. Texts stand as they are, all else as TOML that JSON is too."""
    texts = {key: value if isinstance(value, (str, Path)) else json.dumps(value) for key, value in values.items()}
    return repeated("--set", (f"{key}={text}" for key, text in texts.items()))


class Program:
    """The program, run in a folder; what it says of its progress is shown."""

    def __init__(self, folder):
        self.program, self.folder = build(PROGRAM), folder

    def run(self, *words, codes=(0,)):
        """What it answers in JSON, when it ends with one of these codes."""
        command = [str(word) for word in (self.program, *words, "--json")]
        say(" ".join(command))
        environment = os.environ | {"AUTOFAS_BENCH_HOME": str(ROOT)}
        done = subprocess.run(command, cwd=self.folder, env=environment, stdout=subprocess.PIPE, text=True)
        if done.returncode not in codes:
            sys.exit(f"error: {' '.join(command)} ended with {done.returncode}; its own words stand above")
        return json.loads(done.stdout)


def experiment_parser(description):
    """The options that say which experiment it is."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=ROOT / "fixtures" / "kuairand.toml")
    parser.add_argument("--data", type=Path, default=IMPRESSIONS)
    parser.add_argument("--engine", action="append", help="may be repeated [default: those of the experiment]")
    parser.add_argument("--small", action="store_true", help="a try in seconds, whose figures mean nothing")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where everything stays that is made")
    return parser


@contextlib.contextmanager
def experiment(arguments):
    """The program in its folder, with the files of experiment and data."""
    if not arguments.small and not arguments.data.exists():
        sys.exit(f"error: there is no {arguments.data}\n  fix: docs/data.md tells where it comes from; name it with --data")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(arguments.keep.resolve() if arguments.keep else temporary)
        folder.mkdir(parents=True, exist_ok=True)
        program = Program(folder)
        config, data = arguments.config.resolve(), arguments.data.resolve()
        if arguments.small:
            config, data = folder / "e.toml", folder / "log" / "log.parquet"
            config.write_text(SMALL)
            program.run("data", "synth", "--requests", 50, "--candidates", 10, "--out", "log")
        yield program, config, data

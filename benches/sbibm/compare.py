"""Trains every method on the same simulations, and scores the samples against the reference posteriors."""

import argparse
import json
import math
import os
import pathlib
import subprocess
import tempfile
import time
import warnings

import numpy as np

import check
import reference
import rivals
from c2st import c2st

HERE = pathlib.Path(__file__).resolve().parent
METHODS = ("ours", *rivals.METHODS)
SAMPLES = 10_000

# C2ST of NPE at 1,000, 10,000 and 100,000 simulations: Lueckmann et al. (2021), arXiv:2101.04653, mean over the ten
# observations.
BUDGETS = (1_000, 10_000, 100_000)
PUBLISHED = {
    "two_moons": (0.725, 0.606, 0.542),
    "slcp": (0.975, 0.901, 0.831),
    "gaussian_mixture": (0.716, 0.615, 0.548),
    "gaussian_linear": (0.694, 0.552, 0.506),
    "gaussian_linear_uniform": (0.731, 0.566, None),
    "bernoulli_glm": (0.863, 0.678, 0.559),
}
# The bound of a prior that is uniform on [-bound, bound] in every parameter.
BOUNDS = {"two_moons": 1.0, "slcp": 3.0, "gaussian_mixture": 10.0, "gaussian_linear_uniform": 1.0}


def build():
    """Compiles the Rust program with the profile of the tests, and returns its path."""
    command = ["cargo", "build", "--release", "--bench", "sbibm", "--message-format", "json-render-diagnostics"]
    out = subprocess.run(command, cwd=HERE, stdout=subprocess.PIPE, text=True, check=True).stdout
    messages = map(json.loads, out.splitlines())
    return [m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == "sbibm"][-1]


class Ours:
    """The estimator of the Rust program, which works on the files of a folder."""

    def __init__(self, program, folder, task, simulations):
        self.program, self.place = program, [str(folder), task, str(simulations)]
        self.folder = folder / task / str(simulations)

    def command(self, name, *more):
        return [self.program, name, *self.place, *map(str, more)]

    def call(self, name, *more):
        return subprocess.run(self.command(name, *more), stdout=subprocess.PIPE, text=True, check=True).stdout

    def train(self):
        """Returns the CPU seconds of the training process."""
        process = subprocess.Popen(self.command("train"))
        _, status, usage = os.wait4(process.pid, 0)
        if status != 0:
            raise SystemExit(f"training ended with status {os.waitstatus_to_exitcode(status)}")
        return usage.ru_utime + usage.ru_stime

    def estimates(self, observations):
        train_cpu_s = self.train()
        drawn = json.loads(self.call("draw", observations))
        samples = [np.load(self.folder / f"ours_{k}.npy") for k in range(1, observations + 1)]
        return samples, {**drawn, "train_cpu_s": train_cpu_s}


def bounded(estimator, bound, truth, observed):
    """Draws samples inside the prior, and returns them with the log-density of the truth and the share outside."""
    log_prob = estimator.log_prob(truth, observed)
    kept, drawn = [], 0
    while sum(map(len, kept)) < SAMPLES:
        rows = estimator.sample(SAMPLES, observed)
        inside = np.all(np.abs(rows) <= bound, axis=1)
        kept.append(rows[inside])
        drawn += SAMPLES
    accepted = sum(map(len, kept)) / drawn
    # The density of the samples that remain.
    return np.concatenate(kept)[:SAMPLES], log_prob - math.log(accepted), 1.0 - accepted


def rival(method, folder, task, simulations, observations):
    rows = {name: np.load(folder / task / f"{name}.npy") for name in ("truths", "observations")}
    theta, x = (np.load(folder / task / str(simulations) / f"{name}.npy") for name in ("theta", "x"))
    estimator = rivals.Estimator(method, theta, x, seed=simulations)
    bound = BOUNDS.get(task, math.inf)
    start = time.perf_counter()
    results = [bounded(estimator, bound, rows["truths"][k], rows["observations"][k]) for k in range(observations)]
    sample_s = (time.perf_counter() - start) / observations
    samples, log_probs, leakage = zip(*results)
    values = {"log_prob": np.mean(log_probs), "leakage": np.mean(leakage), "sample_s": sample_s}
    return samples, {**values, "train_cpu_s": estimator.train_cpu_s}


def published(task, simulations):
    value = dict(zip(BUDGETS, PUBLISHED[task])).get(simulations)
    return "" if value is None else f"{value:.3f}"


def words(choices):
    def parse(text):
        chosen = text.split(",")
        for name in chosen:
            if name not in choices:
                raise argparse.ArgumentTypeError(f"`{name}` is unknown; choose among {', '.join(choices)}")
        return chosen

    return parse


def number(low, high):
    def parse(text):
        if not text.isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"must be a whole number from {low} to {high}, found `{text}`")
        return int(text)

    return parse


def numbers(text):
    # A tenth is for validation, and the rivals leave out a batch that is not full.
    return [number(300, 1_000_000)(part) for part in text.split(",")]


def arguments():
    parser = argparse.ArgumentParser(prog="run.sh", allow_abbrev=False)
    parser.add_argument("--wheel", required=True, type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("--tasks", type=words(reference.TASKS), default=list(reference.TASKS))
    parser.add_argument("--simulations", type=numbers, default=[1_000, 10_000])
    observations = number(1, reference.OBSERVATIONS)
    parser.add_argument("--observations", type=observations, default=reference.OBSERVATIONS)
    parser.add_argument("--methods", type=words(METHODS), default=list(METHODS))
    parser.add_argument("--json", type=pathlib.Path, help="file for the results")
    parser.add_argument("--coverage", action="store_true", help="also print the expected coverage of `ours`")
    parser.add_argument("--check", action="store_true", help="test the simulators and the references instead")
    chosen = parser.parse_args()
    if chosen.json and not chosen.json.resolve().parent.is_dir():
        parser.error(f"argument --json: the folder of {chosen.json} does not exist")
    return chosen


def run(chosen, program, folder):
    rows = []
    print("| task | simulations | method | C2ST | published NPE | log-density of the truth | training (CPU s) "
          "| 10,000 samples (s) | outside the prior |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for task in chosen.tasks:
        references = [reference.posterior(chosen.wheel, task, k) for k in range(1, chosen.observations + 1)]
        for simulations in chosen.simulations:
            ours = Ours(program, folder, task, simulations)
            ours.call("simulate")
            for method in chosen.methods:
                if method == "ours":
                    samples, values = ours.estimates(chosen.observations)
                else:
                    samples, values = rival(method, folder, task, simulations, chosen.observations)
                score = float(np.mean([c2st(*pair) for pair in zip(references, samples)]))
                row = {"task": task, "simulations": simulations, "method": method, "c2st": score, **values}
                rows.append(row)
                print(f"| {task} | {simulations} | {method} | {score:.3f} | {published(task, simulations)} "
                      f"| {row['log_prob']:.2f} | {row['train_cpu_s']:.1f} | {row['sample_s']:.2f} "
                      f"| {row['leakage']:.1%} |", flush=True)
                if chosen.json:
                    chosen.json.write_text(json.dumps(rows, indent=1))
                if method == "ours" and chosen.coverage:
                    coverage = ours.call("coverage")
                    print(f"\nexpected coverage, {task}, {simulations} simulations: {coverage}", flush=True)


def main():
    chosen = arguments()
    program = build()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        reference.write(chosen.wheel, folder)
        if chosen.check:
            check.run(chosen.wheel, folder, program)
        else:
            run(chosen, program, folder)


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # nflows calls deprecated functions
    main()

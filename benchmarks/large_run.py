"""Measure opening a large run that was killed, and publishing it: `durability.py open`.

Memory is read from /proc. The files have just been written, so they are in the page cache.
"""

import json
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from driver_overhead import prepared, write_prompts

if TYPE_CHECKING:
    import numpy as np

    from rollout.runs.job import Job
    from rollout.store.store import Store

LARGE = {"engine": "scripted", "n_samples": 2, "max_tokens": 32}
NUM_TOKENS = 8  # of each response
PROMPT_TOKENS = list(range(12))
NUM_TICK_ROWS = 16  # rows that finish in one step of the engine


def killed(num_rows: int, rows_per_shard: int) -> "np.ndarray":
    """Return the rows on disk after a kill: sealed shards, then some rows of the two open ones."""
    import numpy as np

    done = np.zeros(num_rows, bool)
    open_from = num_rows // 2 // rows_per_shard * rows_per_shard
    done[:open_from] = True
    done[open_from : open_from + rows_per_shard * 5 // 4 : 2] = True
    return done


def scattered(num_rows: int, rows_per_shard: int) -> "np.ndarray":
    """Return every second row, so that every shard is an open log: the worst case."""
    import numpy as np

    return np.arange(num_rows) % 2 == 0


KINDS = {"killed": killed, "scattered": scattered}


def build(workdir: Path, name: str) -> dict:
    """Begin a run and write the rows that `kind` selects, with a torn frame after them."""
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
    """Append results for the owed rows of a mask, a few at a time, as the driving loop does."""
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
    """Return the peak of this process alone; ru_maxrss includes the process that started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(x.split()[1]) for x in lines if x.startswith("VmHWM:")) / 1024


def opened(workdir: Path, name: str, publishes: bool = False) -> dict:
    """Open the run in this fresh process up to the first owed row, or publish it."""
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
    """Open each kind of half-finished run and publish the finished one, in separate processes.

    `peak_rss_mib` includes the imports, and `publish_peak_rss_mib` also the opening before it.
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
    """Call a function of this module in a fresh process; return its figures."""
    arguments = ", ".join(("Path(sys.argv[1])", "sys.argv[2]", *more))
    code = (
        "import json, sys; from pathlib import Path; import large_run as d; "
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

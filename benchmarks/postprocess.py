"""Measure scoring: samples a second, memory as the file grows, and the gain of a second worker.

    python benchmarks/postprocess.py [--scorer exact|math] [--rows 100000] [--samples 8] [--save]

Scores generated responses (one or a few sentences with an answer, half of them right; for math in
five notations) three times, each in a fresh `python -m rollout.postprocess`: a tenth of the rows
and all of them with every core, and a tenth with one worker and with two. Memory is the peak
resident size of the command and of its largest worker, sampled five times a second.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from driver_overhead import ROOT, report

FORMS = (
    "The answer is {}.", "So we get $x = {}$.", "\\boxed{{{}}}", "{}", "#### {}",
)  # fmt: skip
THOUGHT = "First we look at what is given, then we add it up step by step and check the sum. "


def make_input(path: Path, num_rows: int, num_samples: int, scorer: str) -> None:
    """Write rows with an integer, fraction or decimal as answer; half of the responses give it."""
    draw = random.Random(0)
    schema = pa.schema({"answer": pa.string(), "responses": pa.list_(pa.string())})
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, num_rows, 10_000):
            answers, responses = [], []
            for _ in range(min(10_000, num_rows - start)):
                a, b = draw.randint(1, 999), draw.choice([1, 1, 2, 4, 5])
                answers.append(str(a) if b == 1 else f"\\frac{{{a}}}{{{b}}}")
                row = []
                for _ in range(num_samples):
                    given = a + (draw.random() < 0.5)
                    text = str(given) if b == 1 else draw.choice([f"{given}/{b}", str(given / b)])
                    text = draw.choice(FORMS).format(text) if scorer == "math" else text
                    row.append(f"<think>{THOUGHT * draw.randint(1, 8)}</think>{text}")
                responses.append(row)
            writer.write_table(pa.table([answers, responses], schema=schema))


def score(source: Path, scorer: str, workers: int) -> dict:
    """Run the command once; return its time and peak resident sizes."""
    output = source.with_name("scored.parquet")
    command = [
        sys.executable, "-m", "rollout.postprocess", f"input={source}", f"scorer={scorer}",
        f"output.path={output}", "output.overwrite=true", f"workers={workers}",
    ]  # fmt: skip
    began = time.monotonic()
    running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    process, own, worker = psutil.Process(running.pid), 0, 0
    while running.poll() is None:
        try:
            own = max(own, process.memory_info().rss)
            sizes = [child.memory_info().rss for child in process.children()]
            worker = max([worker, *sizes])
        except psutil.Error:
            pass
        time.sleep(0.2)
    took_s = time.monotonic() - began
    if running.returncode:
        sys.exit(f"postprocess ended with exit code {running.returncode}")
    num_samples = sum(
        len(row)
        for batch in pq.ParquetFile(output).iter_batches(columns=["scores"])
        for row in batch.column(0)
    )
    figures = {
        "rows": pq.ParquetFile(output).metadata.num_rows,
        "samples": num_samples,
        "workers": workers,
        "seconds": round(took_s, 2),
        "samples_per_s": round(num_samples / took_s),
        "peak_rss_mib": round(own / 2**20),
        "peak_worker_rss_mib": round(worker / 2**20),
        "load_1min": round(os.getloadavg()[0], 2),
    }
    print(figures, file=sys.stderr)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scorer", default="exact", choices=["exact", "math"])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--save", action="store_true", help="also write benchmarks/results/")
    arguments = parser.parse_args()
    scorer, cores = arguments.scorer, len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name:
        tenth, whole = Path(name, "tenth.parquet"), Path(name, "whole.parquet")
        make_input(tenth, arguments.rows // 10, arguments.samples, scorer)
        make_input(whole, arguments.rows, arguments.samples, scorer)
        size_mib = round(whole.stat().st_size / 2**20, 1)
        one, two = (score(tenth, scorer, workers) for workers in (1, 2))
        runs = [one, two, score(whole, scorer, cores)]
    figures = {
        "versions": {n: metadata.version(n) for n in ("math-verify", "sympy")},
        "scorer": scorer,
        "input_mib": size_mib,
        "two_workers_over_one": round(one["seconds"] / two["seconds"], 2),
        "runs": runs,
    }
    report("postprocess", scorer, figures, arguments.save)


if __name__ == "__main__":
    main()

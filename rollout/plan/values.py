"""The plan as plain values, for `--json`."""

from typing import Any

from rollout.plan.messages import fit_values
from rollout.plan.plan import DataFigures, Plan, sampling_values, work
from rollout.plan.reason import reason
from rollout.plan.replicas import Replicas


def plan_values(plan: Plan) -> dict[str, Any]:
    """Return the plan as plain values: GiB per device, tokens, seconds."""
    shape = plan.model.size.shape
    weights = plan.model.size.weights(plan.settings.engine)
    return {
        "model": {
            "name": plan.model.size.name,
            "source": plan.model.source,
            "num_parameters": weights.num_parameters,
            "quantization": weights.quantization,
            "max_position": shape.max_position,
            "estimates": list(shape.estimates),
        },
        "device": {
            "name": plan.hardware.label,
            "kind": plan.hardware.device.name,
            "num_devices": plan.hardware.num_devices,
            "num_nodes": plan.hardware.num_nodes,
            "memory_gib": plan.hardware.memory_gib,
            "free_gib": plan.hardware.free_gib,
        },
        "engine": plan.selected.preset,
        "presets": {row.preset: fit_values(row.fit) for row in plan.rows},
        "replicas": [_replicas_values(option) for option in plan.options],
        "replicas_reason": reason(plan.options) if plan.options else None,
        "recommended": plan.recommended.preset if plan.recommended else None,
        "smallest_change": list(plan.change.overrides) if plan.change else None,
        "data": _data_values(plan.data, plan.selected.fit.max_model_len),
        "sampling": {
            name: {"value": value, "from": where}
            for name, (value, where) in sampling_values(plan).items()
        },
        "work": work(plan),
    }


def _replicas_values(option: Replicas) -> dict[str, Any]:
    """Return one way to divide the devices; the best comes first in the list."""
    return {
        "num_replicas": option.num_replicas,
        "room": option.room,
        "tensor_parallel_size": option.engine.tensor_parallel_size,
        "pipeline_parallel_size": option.engine.pipeline_parallel_size,
        "max_num_seqs": option.engine.max_num_seqs,
        "max_model_len": option.fit.max_model_len,
        "fits": option.fits,
        "why": option.why or None,
        "kv_cache_tokens": option.fit.kv_tokens,
        "all_kv_cache_tokens": option.kv_tokens,
        "samples_side_by_side": round(option.fit.num_concurrent, 1),
        "all_samples_side_by_side": round(option.num_concurrent, 1),
        "copy_gib": round(option.copy_gib, 3),
    }


def _data_values(data: DataFigures, context: int) -> dict[str, Any]:
    lengths, num_rows = data.lengths, data.prompts.num_rows if data.prompts else 0
    found: dict[str, Any] = {"num_rows": num_rows, "not_counted": data.why_not or None}
    if lengths is None:
        return found
    return found | {
        "mean": lengths.mean,
        "p50": lengths.p50,
        "p95": lengths.p95,
        "p99": lengths.p99,
        "longest": lengths.longest,
        "longest_bound": lengths.longest_bound,
        "num_counted": lengths.num_counted,
        "num_bad": lengths.num_bad,
        "num_too_long": lengths.num_longer_than(context - 1).num_rows,
        "histogram": [[part.low, part.high, part.num_rows] for part in lengths.histogram],
        "checks": data.checks,
    }

"""The part of the plan's page on replicas: a row for each way to divide the devices, and why."""

from collections.abc import Iterator
from math import ceil
from typing import Any

from rollout.config.sections.engine import Device
from rollout.plan.messages import parallel_sizes, samples
from rollout.plan.plan import Plan, Row
from rollout.plan.reason import named_replicas, reason
from rollout.plan.replicas import Replicas


def replicas_table(plan: Plan) -> Any:
    """Return the table of ways to divide the devices, the smallest replicas first."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("")
    stages = any(option.engine.pipeline_parallel_size > 1 for option in plan.options)
    for name in (
        "replicas", "TP x PP" if stages else "TP", "fits", "KV tokens", "of all", "samples",
        "of all", "GiB loaded",
    ):  # fmt: skip
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("limited by", no_wrap=True)
    for option in sorted(plan.options, key=lambda option: option.engine.world_size):
        table.add_row(*_cells(option, plan))
    return table


def replicas_legend(plan: Plan) -> Iterator[str]:
    yield "samples: concurrent requests of typical length, at most max_num_seqs. loaded: by all."
    yield (
        "Throughput is not known before a run: the sizes are ranked by samples for each GiB that a "
        "device reads in a step, and a larger one must be clearly better."
    )


def _cells(option: Replicas, plan: Plan) -> list[str]:
    found, about = option.fit, "~" if plan.needs.is_estimate else ""
    limit = "room" if found.fits and not option.fits else found.limit.value
    total = [f"{option.kv_tokens:,}", f"{about}{samples(option.num_concurrent)}"]
    total = total if option.fits else ["-", "-"]
    return [
        "->" if option is plan.options[0] and option.fits else "",
        str(option.num_replicas),
        parallel_sizes(option.engine),
        "yes" if option.fits else "no",
        f"{found.kv_tokens:,}",
        total[0],
        f"{about}{samples(found.num_concurrent)}",
        total[1],
        f"{option.num_replicas * option.copy_gib:.1f}",
        limit,
    ]


def with_replicas(row: Row) -> str:
    """Return what follows a preset's name: its replicas; "" with scale=local."""
    return f" with {named_replicas(row.replicas)}" if row.replicas else ""


def why_replicas(plan: Plan) -> Iterator[str]:
    """Give the reason for the best division, and the devices that the recommended one leaves."""
    yield f"because {reason(plan.options)}"
    replicas, hardware = plan.recommended.replicas, plan.hardware
    idle = hardware.num_devices - plan.recommended.num_devices
    if idle > 0 and hardware.device is Device.cuda:
        has_room = replicas.room > replicas.num_replicas
        more = "; scale.num_replicas=auto uses more" if has_room else ""
        yield f"{idle} of {hardware.num_devices} devices stay idle{more}"
    per_node = ceil(replicas.num_replicas / hardware.num_nodes)
    if per_node > 1:
        yield (
            f"the {per_node} replicas on a node load {replicas.copy_gib:.1f} GiB each, all but the "
            "first from the page cache if the host's memory holds the checkpoint"
        )

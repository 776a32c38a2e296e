"""The text that `python -m rollout.plan` prints; values.py builds the JSON."""

from collections.abc import Callable, Iterator
from typing import Any

from rollout.config.sections.engine import Device
from rollout.plan.memory.fit import Limit, gib
from rollout.plan.messages import changed_settings, parallel_sizes, samples
from rollout.plan.model import ASSUMED_PROMPT
from rollout.plan.plan import Plan, Row, sampling_values, work
from rollout.plan.replicas_page import replicas_legend, replicas_table, why_replicas, with_replicas
from rollout.system.safe_text import printable
from rollout.system.terminal import counted, duration, say

BAR = 30  # characters of the histogram's longest bar
WIDTH = 118


def print_plan(plan: Plan) -> None:
    """Print the plan."""
    import sys

    from rich.console import Console

    screen = Console(width=max(WIDTH, Console().width), highlight=False, soft_wrap=True)
    for line in _head(plan):
        say(line, sys.stdout)
    screen.print(_table(plan))
    _say_parts(plan, _unusable, _legend)
    if plan.options:
        say("", sys.stdout)
        screen.print(replicas_table(plan))
        _say_parts(plan, replicas_legend)
    _say_parts(plan, _verdict, _data, _sampling, _work)


def _say_parts(plan: Plan, *parts: Callable[[Plan], Iterator[str]]) -> None:
    import sys

    for line in (line for part in parts for line in part(plan)):
        say(line, sys.stdout)


def _head(plan: Plan) -> Iterator[str]:
    size, engine, hardware = plan.model.size, plan.settings.engine, plan.hardware
    shape, weights = size.shape, size.weights(engine)
    billions = weights.num_parameters / 1e9
    number = f"{billions:.2f} billion" if billions >= 0.1 else f"{billions * 1000:.1f} million"
    packed = f", {weights.quantization}" if weights.quantization else ""
    yield (
        f"model   {size.name}: {number} parameters{packed}, context {shape.max_position:,} tokens "
        f"({plan.model.source})"
    )
    cache = plan.selected.fit.cache
    if cache:
        yield f"        one token takes {cache.token_bytes / 1024:,.1f} KiB of KV cache per device"
    remarks = list(shape.estimates)
    asked = engine.quantization
    if asked and weights.quantization != asked:
        remarks.append(
            f"engine.quantization={asked} is ignored: the checkpoint's own quantization is counted"
        )
    if cache and len(cache.groups) > 1:
        remarks.append(
            "layers cache differently: KV tokens are full-length requests x context, as in "
            "vLLM's log"
        )
    if weights.quantization and not size.is_certain(engine):
        remarks.append(f"{weights.quantization} is counted as 4 bits per parameter")
    for remark in remarks:
        yield f"        estimate: {remark}"
    is_idle = hardware.free_gib >= 0.98 * hardware.memory_gib
    yield f"device  {hardware}{'' if is_idle else f', {gib(hardware.free_gib)} free'}"
    yield ""


def _table(plan: Plan) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("")
    table.add_column("engine", no_wrap=True)
    tp = "TP" if plan.settings.engine.pipeline_parallel_size == 1 else "TP x PP"
    columns = ["fits", tp, "weights", "other*", "KV cache", "KV tokens", "full length", "typical"]
    for name in [*columns, "max_num_seqs"]:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("limited by", no_wrap=True)
    for row in plan.shown:
        if row.fit.limit not in NOT_MEMORY:
            table.add_row(*_cells(row, plan))
    return table


def _legend(plan: Plan) -> Iterator[str]:
    on_cpu = plan.hardware.device is Device.cpu
    other = "the process itself" if on_cpu else "activations, CUDA graphs and libraries"
    yield f"GiB per device. other*: an estimate of {other}."
    mean = "a mean prompt"
    if plan.needs.is_estimate:
        mean = f"a prompt of {ASSUMED_PROMPT} tokens (assumed: {plan.data.why_not.split(';')[0]})"
    yield "full length: concurrent requests that fill the context."
    yield f"typical: concurrent requests with {mean} and half of max_tokens."
    yield (
        "limited by: the first limit on concurrent requests, or on starting at all; "
        "max_num_seqs: memory allows more."
    )


def _cells(row: Row, plan: Plan) -> list[str]:
    from rich.markup import escape

    found = row.fit
    return [
        "->" if plan.recommended is row else "",
        escape(row.preset),
        "yes" if found.fits else "no",
        parallel_sizes(found.engine),
        f"{found.weights_gib:.2f}",
        f"{found.allowance.total_gib:.1f}",
        f"{max(0.0, found.kv_cache_gib):.1f}",
        f"{found.kv_tokens:,}",
        samples(found.full_length),
        f"{'~' if plan.needs.is_estimate else ''}{samples(found.typical)}",
        str(found.engine.max_num_seqs),
        found.limit.value,
    ]


NOT_MEMORY = (Limit.device, Limit.devices, Limit.heads)


def _unusable(plan: Plan) -> Iterator[str]:
    """List presets that can't run on these devices, by reason."""
    by_reason: dict[str, list[str]] = {}
    for row in plan.shown:
        if row.fit.limit in NOT_MEMORY:
            by_reason.setdefault(row.fit.why, []).append(row.preset)
    for why, presets in by_reason.items():
        if len(presets) > 1:
            why = why.replace("it needs", "they need")
        yield f"not available: {', '.join(presets)}: {why}"
    if hidden := len(plan.rows) - len(plan.shown):
        are, them = ("is", "it") if hidden == 1 else ("are", "them")
        which = f"{counted(hidden, 'preset')} for other hardware"
        yield f"{which} {are} not shown: show=all lists {them}"


def _verdict(plan: Plan) -> Iterator[str]:
    yield ""
    own = plan.selected
    auto = next((row for row in plan.rows if row.choice), None)
    if auto and auto.fits and auto.choice.changed:
        yield f"auto chooses {changed_settings(auto.choice)}"
    if plan.recommended is None:
        yield f"nothing fits: {own.replicas.why if own.replicas else own.fit.why}"
    else:
        yield f"recommended: engine={plan.recommended.preset}{with_replicas(plan.recommended)}"
        yield from why_replicas(plan) if plan.options else _devices_left(plan)
    if plan.change:
        costs = f"  (cost: {', '.join(plan.change.costs)})" if plan.change.costs else ""
        which = "" if plan.recommended is None else f"engine={own.preset} with "
        yield f"smallest change that fits: {which}{plan.change}{costs}"
    elif own.fit.limit is Limit.device:
        instead = "engine=cpu" if plan.hardware.device is Device.cpu else "engine=auto"
        yield f"type {instead}, or plan for another machine: device=a100_80gb, device=cpu, ..."
    elif not own.fit.fits and own.fit.limit is not Limit.devices:
        yield (
            f"no setting makes engine={own.preset} fit here; use more or larger devices, a "
            "smaller model, or a quantized checkpoint"
        )
    if plan.num_needed and not plan.change:
        yield f"{plan.num_needed} such devices would hold it: num_devices={plan.num_needed}"
    yield ""


def _devices_left(plan: Plan) -> Iterator[str]:
    """List devices that the run leaves idle, and when replicas may be faster."""
    row, number = plan.recommended, plan.hardware.num_devices
    used = row.fit.engine.world_size
    if used < number:
        yield f"{number - used} of {number} devices stay idle: scale=ray runs replicas on all"
    if used > 1 and plan.fits_alone:
        yield (
            "it also fits on one device: add scale=ray to see whether replicas on fewer devices "
            "each have more total throughput"
        )


def _data(plan: Plan) -> Iterator[str]:
    data, settings = plan.data, plan.settings
    if data.prompts is None:
        yield "data    none: type data.input=FILE.parquet to count and show its prompts"
        return
    rows = data.prompts.num_rows
    yield f"data    {settings.data.input}: {counted(rows, 'row')}, {data.prompts.builder}"
    lengths = data.lengths
    if lengths is None:
        yield f"        lengths not counted: {data.why_not}"
        return
    longest = f"{lengths.longest:,}"
    if not lengths.is_longest_exact:
        longest += f" or more, at most {lengths.longest_bound:,}"
    which = f" (of {lengths.num_counted:,} rows)" if lengths.is_sample else ""
    yield (
        f"        prompt tokens: mean {lengths.mean:,.0f}, median {lengths.p50:,}, 95th percentile "
        f"{lengths.p95:,}, longest {longest}{which}"
    )
    most = max((part.num_rows for part in lengths.histogram), default=0)
    for part in lengths.histogram:
        bar = "#" * max(int(part.num_rows > 0), round(BAR * part.num_rows / max(1, most)))
        yield f"        {part.low:>9,} to {part.high - 1:>9,}  {part.num_rows:>9,}  {bar}".rstrip()
    context = plan.selected.fit.max_model_len
    over = lengths.num_longer_than(context - 1)
    yield f"        rows without room for a response in a context of {context:,} tokens: {over}"
    cut = lengths.num_cut(context, settings.sampling.token_limit or 1)
    if cut.num_rows > 0:
        limit = f"max_tokens={settings.sampling.max_tokens}"
        yield f"        rows with room for fewer than {limit} tokens: {cut} more"
    if lengths.num_bad or lengths.num_refused:
        first = printable(lengths.first_bad or lengths.first_refusal or "")
        bad = lengths.num_bad + lengths.num_refused
        yield f"        rows that can't be sent to the model: {bad:,}, such as {first}"
    for check in data.checks:
        yield f"        note: {printable(check)}"
    for shown in data.shown:
        what = f"{shown.num_tokens:,} tokens" if shown.num_tokens else "long"
        if shown.error:
            what = f"can't be sent to the model: {shown.error}"
        yield f"row {shown.row}   {what}"
        for line in shown.text.splitlines():
            yield f"   | {line}"


def _sampling(plan: Plan) -> Iterator[str]:
    by_origin: dict[str, list[str]] = {}
    for name, (value, where) in sampling_values(plan).items():
        by_origin.setdefault(where, []).append(f"{name}={value}")
    for i, (where, values) in enumerate(by_origin.items()):
        yield f"{'sample' if i == 0 else '':<7} {' '.join(values)}  ({where})"


def _work(plan: Plan) -> Iterator[str]:
    todo = work(plan)
    if not todo:
        return
    counts = ", ".join(counted(todo[f"num_{noun}s"], noun) for noun in ("request", "sample"))
    yield f"work    {counts}, at most {todo['most_output_tokens']:,} output tokens"
    if todo["likely_s"] is None:
        like = " on as many GPUs" if plan.options else ""
        yield (
            f"        no time estimate: this machine has no finished run of this model{like} with "
            "this max_tokens or more"
        )
        return
    rate = plan.history.output_tokens_per_s
    yield (
        f"        about {todo['likely_output_tokens']:,} tokens in {duration(todo['likely_s'])}, "
        f"at {rate:,.0f} tokens/s and {plan.history.mean_response_tokens:,.0f} tokens per "
        "response, as in this machine's last run"
    )

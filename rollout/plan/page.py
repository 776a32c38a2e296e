"""What `python -m rollout.plan` prints for people; plan_values.py has the same for programs."""

from collections.abc import Iterator
from typing import Any

from rollout.config.sections.engine import Device
from rollout.plan.in_words import LIMITS, chosen_words, samples
from rollout.plan.memory.fit import Limit, gib
from rollout.plan.model import ASSUMED_PROMPT
from rollout.plan.plan import Plan, Row, sampling_values, work
from rollout.system.console import duration, say
from rollout.system.shown import printable

BAR = 30  # characters of the histogram's longest bar
WIDTH = 118


def page(plan: Plan) -> None:
    """Print the plan."""
    import sys

    from rich.console import Console

    screen = Console(width=max(WIDTH, Console().width), highlight=False, soft_wrap=True)
    for line in _head(plan):
        say(line, sys.stdout)
    screen.print(_table(plan))
    for line in (*_left_out(plan), *_legend(plan), *_verdict(plan)):
        say(line, sys.stdout)
    for line in (*_data(plan), *_sampling(plan), *_work(plan)):
        say(line, sys.stdout)


def _head(plan: Plan) -> Iterator[str]:
    shape, weights = plan.model.size.shape, plan.model.size.weights(plan.settings.engine)
    billions = weights.num_parameters / 1e9
    size = f"{billions:.2f} billion" if billions >= 0.1 else f"{billions * 1000:.1f} million"
    packed = f", {weights.quantization}" if weights.quantization else ""
    yield (
        f"model   {plan.model.size.name}: {size} parameters{packed}, context "
        f"{shape.max_position:,} tokens ({plan.model.source})"
    )
    cache = plan.own.fit.cache
    if cache:
        yield f"        one token takes {cache.token_bytes / 1024:,.1f} KiB of KV cache a device"
    remarks = list(shape.estimates)
    asked = plan.settings.engine.quantization
    if asked and weights.quantization != asked:
        remarks.append(f"engine.quantization={asked} is not counted: the weights are as saved")
    if cache and len(cache.groups) > 1:
        remarks.append(
            "layers cache differently: KV tokens are full-length requests x context, as vLLM logs"
        )
    if weights.quantization and not plan.model.size.is_certain(plan.settings.engine):
        remarks.append(f"{weights.quantization} is counted as 4 bits a parameter")
    for remark in remarks:
        yield f"        estimate: {remark}"
    yield f"device  {plan.hardware}" + (
        f", {gib(plan.hardware.free_gib)} free"
        if plan.hardware.free_gib < 0.98 * plan.hardware.memory_gib
        else ""
    )
    yield ""


def _table(plan: Plan) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("")
    table.add_column("engine", no_wrap=True)
    columns = ["fits", "TP", "weights", "other*", "KV cache", "KV tokens", "full length", "data's"]
    for name in [*columns, "max_num_seqs"]:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("limited by", no_wrap=True)
    for row in plan.rows:
        if row.fit.limit not in ELSEWHERE:
            table.add_row(*_cells(row, plan))
    return table


def _legend(plan: Plan) -> Iterator[str]:
    on_cpu = plan.hardware.device is Device.cpu
    other = "the process itself" if on_cpu else "activations, CUDA graphs, libraries"
    yield f"GiB per device; *estimate: {other}. full length, data's: requests side by side, of the"
    mean = "a mean prompt of the data"
    if plan.needs.is_estimate:
        mean = f"~a prompt of {ASSUMED_PROMPT} tokens, since {plan.data.why_not.split(';')[0]},"
    yield f"whole context, and of {mean} with half of max_tokens, a running sample's mean."


def _cells(row: Row, plan: Plan) -> list[str]:
    from rich.markup import escape

    found = row.fit
    return [
        "->" if plan.recommended is row else "",
        escape(row.preset),
        "yes" if found.fits else "no",
        str(found.engine.tensor_parallel_size),
        f"{found.weights_gib:.2f}",
        f"{found.allowance.total_gib:.1f}",
        f"{max(0.0, found.kv_cache_gib):.1f}",
        f"{found.kv_tokens:,}",
        samples(found.full_length),
        f"{'~' if plan.needs.is_estimate else ''}{samples(found.typical)}",
        str(found.engine.max_num_seqs),
        LIMITS[found.limit],
    ]


ELSEWHERE = (Limit.device, Limit.devices, Limit.heads)  # no matter of memory


def _left_out(plan: Plan) -> Iterator[str]:
    """Presets that these devices can't serve, by why."""
    by_reason: dict[str, list[str]] = {}
    for row in plan.rows:
        if row.fit.limit in ELSEWHERE:
            by_reason.setdefault(row.fit.why, []).append(row.preset)
    for why, presets in by_reason.items():
        yield f"not here: {', '.join(presets)}: {why}"


def _verdict(plan: Plan) -> Iterator[str]:
    yield ""
    own = plan.own
    auto = next((row for row in plan.rows if row.choice), None)
    if auto and auto.fit.fits and auto.choice.changed:
        yield f"auto takes {chosen_words(auto.choice)}"
    if plan.recommended is None:
        yield f"nothing fits: {own.fit.why}"
    else:
        yield f"recommended: engine={plan.recommended.preset}"
        yield from _devices_left(plan)
    if plan.change:
        costs = f"  (costs: {', '.join(plan.change.costs)})" if plan.change.costs else ""
        which = "" if plan.recommended is None else f"engine={own.preset} with "
        yield f"smallest change that fits: {which}{plan.change}{costs}"
    elif own.fit.limit is Limit.device:
        instead = "engine=cpu" if plan.hardware.device is Device.cpu else "engine=auto"
        yield f"type {instead}, or plan for another machine: device=a100_80gb, device=cpu, ..."
    elif not own.fit.fits and own.fit.limit is not Limit.devices:
        yield (
            f"no setting makes engine={own.preset} fit here; take more or larger devices, a "
            "smaller model, or a quantised checkpoint of it"
        )
    if plan.num_enough and not plan.change:
        yield f"{plan.num_enough} such devices would hold it: num_devices={plan.num_enough}"
    yield ""


def _devices_left(plan: Plan) -> Iterator[str]:
    """What a second run could use: one engine is one run's."""
    row, number = plan.recommended, plan.hardware.num_devices
    used = row.fit.engine.tensor_parallel_size
    if used < number:
        yield (
            f"{number - used} of {number} devices are left: for another run, with "
            "CUDA_VISIBLE_DEVICES and its share of the rows (data.offset, data.limit)"
        )
    if used > 1 and plan.fits_alone:
        yield (
            "it fits one device too: without fast links between them, one run a device "
            "(engine.tensor_parallel_size=1, CUDA_VISIBLE_DEVICES) may do more in sum"
        )


def _data(plan: Plan) -> Iterator[str]:
    data, settings = plan.data, plan.settings
    if data.prompts is None:
        yield "data    none: type data.input=FILE.parquet to have prompts counted and shown"
        return
    rows = data.prompts.num_rows
    yield f"data    {settings.data.input}: {rows:,} rows, {data.prompts.wording}"
    lengths = data.lengths
    if lengths is None:
        yield f"        lengths not counted: {data.why_not}"
        return
    longest = f"{lengths.longest:,}"
    if not lengths.is_longest_exact:
        longest += f" or more, at most {lengths.longest_bound:,}"
    which = f" (of {lengths.num_counted:,} rows)" if lengths.is_sample else ""
    yield (
        f"        prompt tokens: mean {lengths.mean:,.0f}, median {lengths.p50:,}, 95 % below "
        f"{lengths.p95:,}, longest {longest}{which}"
    )
    most = max((part.num_rows for part in lengths.histogram), default=0)
    for part in lengths.histogram:
        bar = "#" * max(int(part.num_rows > 0), round(BAR * part.num_rows / max(1, most)))
        yield f"        {part.low:>9,} to {part.high - 1:>9,}  {part.num_rows:>9,}  {bar}".rstrip()
    context = plan.own.fit.max_model_len
    over = lengths.num_longer_than(context - 1)
    about = "" if over.is_exact else "about "
    yield f"        {about}{over.num_rows:,} rows leave no room for a response in {context:,}"
    cut = lengths.num_longer_than(context - (settings.sampling.token_limit or 1))
    if cut.num_rows > over.num_rows:
        about = "" if cut.is_exact else "about "
        yield (
            f"        {about}{cut.num_rows - over.num_rows:,} more have room for less than "
            f"max_tokens={settings.sampling.max_tokens}"
        )
    if lengths.num_bad or lengths.num_refused:
        first = printable(lengths.first_bad or lengths.first_refusal or "")
        bad = lengths.num_bad + lengths.num_refused
        yield f"        {bad:,} rows can't be asked: {first}"
    for check in data.checks:
        yield f"        note: {printable(check)}"
    for shown in data.shown:
        what = f"{shown.num_tokens:,} tokens" if shown.num_tokens else "long"
        if shown.error:
            what = f"can't be asked: {shown.error}"
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
    yield (
        f"work    {todo['num_requests']:,} requests, {todo['num_samples']:,} samples, at most "
        f"{todo['most_output_tokens']:,} output tokens"
    )
    if todo["likely_s"] is None:
        yield (
            "        no estimate of time: no finished run of this model on this machine with as "
            "large a max_tokens is known"
        )
        return
    rate = plan.history.output_tokens_per_s
    yield (
        f"        about {todo['likely_output_tokens']:,} tokens in {duration(todo['likely_s'])}, "
        f"at this machine's last {rate:,.0f} tokens/s and {plan.history.mean_response_tokens:,.0f} "
        "tokens a response"
    )

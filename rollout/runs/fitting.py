"""A job against the planner: refused where it can't fit, settled before it is loaded.

Owns when the planner is asked, what `engine=auto` makes of its answer, and the record of what
worked after memory ran out. Promises that the settings stay as they were asked: what is taken
instead is `job.engine`, a matter of how, recorded for each attempt.
"""

from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any

from rollout.config.fingerprint import to_plain
from rollout.config.sections.engine import Backend, Engine, OnOom
from rollout.config.settings import keys
from rollout.config.validate import validate
from rollout.engines.base import Rung
from rollout.engines.memory_faults import MemoryFault, OomKind
from rollout.errors import UserError
from rollout.plan.choose import choose, smallest_change
from rollout.plan.in_words import one_line, room_note
from rollout.plan.ladder import STEPPED, Ladder
from rollout.plan.memory.fit import Limit, ModelSize, Needs, fit
from rollout.plan.memory.hardware import Hardware, found
from rollout.plan.model import found_model, lengths_of, needs_of, tokenizer_of
from rollout.plan.prompts.first_rows import check_prompts
from rollout.plan.prompts.lengths import Lengths
from rollout.plan.prompts.tokenizer_files import NoTokenizer
from rollout.runs.findings import Findings
from rollout.runs.job import Job
from rollout.store.run_dir import last_attempt
from rollout.system import machine
from rollout.system.console import Console
from rollout.system.disk import read_json, write_json

RECORD = "memory.json"  # in the run directory: what worked after memory ran out
ENDED = "ended.json"  # in an attempt's directory, unless its process was killed
CAUTION = 0.5  # of the allowances, which are estimates: a refusal must not stop what may work
SLOW_ROWS = 200_000  # counting more takes a second or longer


def refuse_impossible(job: Job) -> None:
    """Raise UserError, with numbers and what to type, where the model can't fit the engine.

    Counts what is certain and half of what is estimated. A model whose shape can't be read, or
    whose weights can only be guessed, is let through: the engine knows.
    """
    engine = job.settings.engine
    size = size_of(job)
    if size is None or not engine.preflight or not size.is_certain(engine):
        return
    if (job.run_dir / "summary.json").exists():
        return  # finished: it may need no engine
    hardware, needs = hardware_of(job), needs_of(None, job.settings.sampling.token_limit)
    tried = fit(size, engine, hardware, needs, CAUTION)
    if tried.fits:
        return
    if tried.limit is Limit.context:
        if engine.on_oom is OnOom.step_down or not size.shape.is_counted:
            return  # the ladder has a way; or what is cached is guessed
    if is_auto(job):
        chosen = choose(size, engine, hardware, needs, given(job)).engine
        if fit(size, chosen, hardware, needs, CAUTION).fits:
            return
    change = smallest_change(size, engine, hardware, needs)
    preset = job.settings.presets.get("engine", "custom")
    advice = f"type {change}" if change else "take a smaller model, or more memory"
    costs = f" ({', '.join(change.costs)})" if change and change.costs else ""
    raise UserError(
        f"engine={preset} can't hold {size.name} on {hardware}: {tried.why}; {advice}{costs}; "
        f"python -m rollout.plan shows more (engine.preflight=false tries all the same)"
    )


def settle(
    job: Job, console: Console, findings: Findings | None = None, owns_run: bool = False
) -> Job:
    """The job with the engine that will be loaded, and its ladder; says what the engine will hold.

    `engine=auto` takes what the planner chooses; a run whose memory ran out before begins with
    what worked then. `findings` keeps what was counted and chosen for the next call: points of a
    sweep that can share an engine get the same. `owns_run` says that the run directory is locked
    and may be written to.
    """
    findings = findings or Findings()
    size, hardware = size_of(job), hardware_of(job)
    needs = Needs()
    engine = job.settings.engine
    if size is not None:
        lengths = _lengths(job, size, console, findings)
        context = size.context(job.settings.engine)
        needs = needs_of(lengths, job.settings.sampling.token_limit, context)
        if is_auto(job):
            engine = _chosen(job, size, hardware, needs, findings)
        _say_what_is_cut(engine, size, lengths, job, console, findings)
    remembered = _remembered(job, hardware, needs)
    job = replace(job, engine=replace(engine, **remembered), ladder=Ladder(size, hardware, needs))
    if owns_run:
        job = _eased_after_kill(job, console)
    if size is None:
        return job
    changed = {f.name: getattr(job.engine, f.name) for f in fields(Engine)}
    asked = job.settings.engine
    words = " ".join(f"{k}={v}" for k, v in changed.items() if v != getattr(asked, k))
    preset = job.settings.presets.get("engine", "custom")
    line = f"engine {preset}{f' takes {words}' if words else ''} on {hardware}: "
    line += one_line(fit(size, job.engine, hardware, needs))
    if remembered:
        line += f"; begins with what worked when memory ran out ({RECORD})"
    _say_once(line, console, findings)
    return job


def ladder_of(jobs: Iterable[Job]) -> Ladder | None:
    """The ladder for runs that share an engine: the needs of all of them."""
    ladders = [job.ladder for job in jobs if job.ladder is not None]
    if not ladders:
        return None
    longest = [ladder.needs.longest for ladder in ladders]
    needs = replace(
        ladders[0].needs,
        longest=None if None in longest else max(longest),
        is_estimate=any(ladder.needs.is_estimate for ladder in ladders),
    )
    return replace(ladders[0], needs=needs)


def remember(job: Job, steps: list[Rung]) -> None:
    """Record what was given up before the engine came up, for the next launch."""
    if not steps:
        return
    changed = dict(_recorded(job, hardware_of(job)))
    for step in steps:
        changed |= step.changed
    write_json(
        job.run_dir / RECORD,
        {
            "hardware": hardware_of(job).label,
            "changed": changed,
            "asked": {name: to_plain(job.settings.engine)[name] for name in changed},
            "steps": [str(step) for step in steps],
            "engine": to_plain(replace(job.engine, **changed)),
        },
    )


def _recorded(job: Job, hardware: Hardware) -> dict[str, Any]:
    """What RECORD says was changed, for this hardware; nothing where it can't be used."""
    record = read_json(job.run_dir / RECORD)
    if not isinstance(record, dict) or record.get("hardware") != hardware.label:
        return {}
    changed = record.get("changed")
    asked = record.get("asked")
    try:
        # What the user types otherwise now is the user's.
        now = to_plain(job.settings.engine)
        changed = {k: v for k, v in changed.items() if k in STEPPED and asked.get(k) == now[k]}
        engine = replace(job.settings.engine, **changed)
        for name, value in changed.items():
            hint = keys()[f"engine.{name}"].type
            if not isinstance(value, hint) and not (isinstance(value, int) and hint is float):
                raise TypeError(f"{name}={value!r}")
        validate(replace(job.settings, engine=engine))
    except (TypeError, KeyError, AttributeError, UserError):  # edited by hand, or another version's
        return {}
    return changed


def _eased_after_kill(job: Job, console: Console) -> Job:
    """The job, smaller if the last attempt was killed and the kernel killed for memory since.

    An engine in this process leaves no other sign: nothing was left to report it.
    """
    last = last_attempt(job.run_dir)
    if last is None or (last / ENDED).exists():
        return job
    then = read_json(last / "environment.json") or {}
    before = then.get("oom_kills")
    kills = machine.num_oom_kills() - before if isinstance(before, int) else 0
    if kills <= 0 or then.get("boot_id") != machine.boot_id():
        return job
    what = "the last attempt was killed, and the kernel has killed for want of memory since"
    fault = MemoryFault(OomKind.killed, {}, what)
    rung = job.ladder.next(job.engine, fault)
    if job.settings.engine.on_oom is not OnOom.step_down or rung is None:
        advice = f"; type {rung}, or engine.on_oom=step_down" if rung else ""
        console.note(f"note: {what}{advice}")
        return job
    job = replace(job, engine=rung.engine)
    remember(job, [rung])
    (last / ENDED).touch()  # told once
    console.note(f"{what}; stepping down to {rung}")
    return job


def _remembered(job: Job, hardware: Hardware, needs: Needs) -> dict[str, Any]:
    """What worked in this run's last attempt; nothing on other hardware, or where not wanted."""
    if job.settings.engine.on_oom is not OnOom.step_down:
        return {}
    kept = _recorded(job, hardware)
    length = kept.get("max_model_len")
    if length and needs.longest and length < needs.longest:  # longer prompts were added since
        del kept["max_model_len"]
    return kept


def size_of(job: Job) -> ModelSize | None:
    """The job's model as the planner sees it; None without one, or where its shape is unknown."""
    if job.model is None or job.settings.engine.backend is not Backend.vllm:
        return None
    try:
        overrides = job.settings.engine.extra.get("hf_overrides")
        return found_model(job.model, str(job.settings.model.model_path), overrides).size
    except UserError:
        return None


def hardware_of(job: Job) -> Hardware:
    return found(job.machine, job.device)


def is_auto(job: Job) -> bool:
    return job.settings.presets.get("engine") == "auto"


def given(job: Job) -> frozenset[str]:
    """The engine settings that are the user's own."""
    names = (key.removeprefix("engine.") for key in job.settings.given if key.startswith("engine."))
    return frozenset(names)


def _chosen(
    job: Job, size: ModelSize, hardware: Hardware, needs: Needs, findings: Findings
) -> Engine:
    """What the planner takes; for a run that an engine chosen before can serve, that one."""
    key = f"{job.settings.engine} {size.name} {hardware}"
    if (before := findings.engines.get(key)) is not None:
        tried = fit(size, before, hardware, needs)
        if tried.fits and tried.max_model_len >= min(needs.longest, size.shape.max_position):
            return before
    choice = choose(size, job.settings.engine, hardware, needs, given(job))
    findings.engines[key] = choice.engine
    return choice.engine


def _lengths(job: Job, size: ModelSize, console: Console, findings: Findings) -> Lengths | None:
    """Token lengths of the input; None where they can't be counted here."""
    key, known = f"{job.settings.data} {job.settings.model}", findings.lengths
    if key in known:
        return known[key]
    known[key] = None
    try:
        tokenizer = tokenizer_of(size.checkpoint, job.settings, job.model)
    except NoTokenizer as error:
        _say_once(f"prompts: not counted, {error}", console, findings)
        return None
    context = size.context(job.settings.engine)
    if job.prompts.num_rows > SLOW_ROWS:
        console.note(f"counting the tokens of {job.prompts.num_rows:,} prompts ...")
    lengths = known[key] = lengths_of(job.prompts, tokenizer, context)
    over = lengths.num_longer_than(context - 1)
    line = f"prompts: {lengths.mean:,.0f} tokens on average, longest {lengths.longest:,}"
    if over.num_rows:
        line += (
            f"; {'' if over.is_exact else 'about '}{over.num_rows:,} of {lengths.num_rows:,} rows "
            f"leave no room for a response in {context:,} tokens"
        )
    _say_once(line, console, findings)
    if note := room_note(lengths, context, job.settings.sampling):
        _say_once(note, console, findings)
    for check in check_prompts(job.prompts, tokenizer):
        if not check.startswith("strings go"):  # the engine's own hint says it
            _say_once(f"note: {check}", console, findings)
    return lengths


def _say_what_is_cut(
    engine: Engine,
    size: ModelSize,
    lengths: Lengths | None,
    job: Job,
    console: Console,
    findings: Findings,
) -> None:
    """Say where a shortened context costs rows or tokens that the whole one would not."""
    context, max_tokens = engine.max_model_len, job.settings.sampling.token_limit or 1
    if lengths is None or context in (None, job.settings.engine.max_model_len):
        return
    over = lengths.num_longer_than(context - 1)
    cut = lengths.num_longer_than(context - max_tokens)
    if cut.num_rows == 0:
        return
    about = "" if over.is_exact and cut.is_exact else "about "
    _say_once(
        f"note: the context of {size.shape.max_position:,} tokens can't be held here; in "
        f"{context:,} {about}{over.num_rows:,} rows leave no room for a response and {about}"
        f"{cut.num_rows - over.num_rows:,} room for less than max_tokens={max_tokens}; type "
        f"engine.max_model_len={context} to have it so on any machine",
        console,
        findings,
    )


def _say_once(line: str, console: Console, findings: Findings) -> None:
    if line not in findings.said:
        findings.said.add(line)
        console.note(line)

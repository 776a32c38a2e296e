"""Check a job against the planner: refuse what can't fit, and settle the engine to load.

Owns the calls to the planner, how `engine=auto` uses its answer, and memory.json, the record of
what worked after memory ran out. Guarantees that `job.settings` stay as typed: the engine to load
is `job.engine`, which does not change samples and is recorded for each attempt.
"""

from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any

from rollout.config.fingerprint import to_plain
from rollout.config.sections.engine import Backend, Engine, OnOom
from rollout.config.sections.scale import Scale
from rollout.config.settings import keys
from rollout.config.validate import validate
from rollout.engines import refuse_too_many
from rollout.engines.base import Rung
from rollout.engines.memory_faults import MemoryFault, OomKind
from rollout.errors import UserError
from rollout.plan.choose import Choice, choose, smallest_change
from rollout.plan.ladder import STEPPED, Ladder
from rollout.plan.memory.fit import Limit, ModelSize, Needs, fit
from rollout.plan.memory.hardware import Hardware, found
from rollout.plan.messages import one_line, room_note
from rollout.plan.model import lengths_of, needs_of, planned_model, tokenizer_of
from rollout.plan.prompts.first_rows import STRINGS_CONTINUED, check_prompts
from rollout.plan.prompts.lengths import Lengths
from rollout.plan.prompts.tokenizer_files import NoTokenizer
from rollout.plan.replicas import choose_replicas
from rollout.runs.findings import Findings
from rollout.runs.job import Job
from rollout.store.run_dir import is_a_run, last_attempt
from rollout.store.run_records import ENDED
from rollout.system import machine
from rollout.system.console import Console
from rollout.system.disk import read_json, write_json

RECORD = "memory.json"  # in the run directory: what worked after memory ran out
CAUTION = 0.5  # share of the estimated allowances that counts: don't refuse what may work
SLOW_ROWS = 200_000  # counting more takes a second or longer


def refuse_impossible(job: Job) -> None:
    """Raise UserError, with numbers and what to type, if the model or the replicas can't fit.

    Counts what is certain and half of what is estimated. A model whose shape can't be read, or
    whose weights can only be guessed, passes: loading it will show.
    """
    if (job.run_dir / "summary.json").exists():
        return  # a finished run may need no engine
    engine = job.settings.engine
    refuse_too_many(job.settings.scale, engine, job.device, job.machine)
    size = size_of(job)
    if size is None or not engine.preflight or not size.is_certain(engine):
        return
    hardware, needs = hardware_of(job), needs_of(None, job.settings.sampling.token_limit)
    tried = fit(size, engine, hardware, needs, CAUTION)
    if tried.fits:
        return
    if tried.limit is Limit.context:
        if engine.on_oom is OnOom.step_down or not size.shape.is_counted:
            return  # stepping down shortens the context; or the KV cache size is only a guess
    if is_auto(job):
        chosen = _planned(job, size, hardware, needs).engine
        if fit(size, chosen, hardware, needs, CAUTION).fits:
            return
    change = smallest_change(size, engine, hardware, needs)
    preset = job.settings.presets.get("engine", "custom")
    advice = f"type {change}" if change else "take a smaller model, or more memory"
    costs = f" ({', '.join(change.costs)})" if change and change.costs else ""
    raise UserError(
        f"engine={preset} can't hold {size.name} on {hardware}: {tried.why}; {advice}{costs}; "
        "python -m rollout.plan shows more (engine.preflight=false tries anyway)"
    )


def refuse_no_room(job: Job) -> None:
    """Raise UserError if max_tokens was typed and fills the context, where that is known.

    vLLM silently ends a response at the end of the context. A run that started with this setting
    may resume, and the default was not chosen: these only get the note about rows with less room.
    """
    settings, limit = job.settings, job.settings.sampling.token_limit
    if limit is None or "sampling.max_tokens" not in settings.given or is_a_run(job.run_dir):
        return
    context, max_model_len = _context(job), settings.engine.max_model_len
    if context is not None and limit >= context:
        whose = "the model's own" if max_model_len is None else "engine.max_model_len"
        raise UserError(
            f"sampling.max_tokens={limit} leaves no room for a prompt in the context of "
            f"{context:,} tokens ({whose}); type sampling.max_tokens=auto (as long as the context "
            "allows), or a smaller number"
        )


def _context(job: Job) -> int | None:
    """Return the tokens that prompt and response share, if known before loading."""
    engine = job.settings.engine
    if engine.backend is Backend.scripted:
        return None  # the length of its responses is a setting
    if engine.max_model_len is not None or "max_model_len" in engine.extra:
        return engine.max_model_len
    size = size_of(job)
    return size.context(engine) if size and size.shape.states_context else None


def settle(
    job: Job, console: Console, findings: Findings | None = None, owns_run: bool = False
) -> Job:
    """Return the job with the engine to load and its ladder; print what the engine will hold.

    `engine=auto` uses the planner's choice. A run that ran out of memory before starts with the
    settings that worked then. `findings` caches counts and choices, so that points of a sweep
    that can share an engine do. `owns_run`: the run directory is locked and may be written to.
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
        _note_cut_rows(engine, size, lengths, job, console, findings)
    lowered = _lowered_before(job, hardware, needs)
    job = replace(job, engine=replace(engine, **lowered), ladder=Ladder(size, hardware, needs))
    if owns_run:
        job = _stepped_down_after_kill(job, console)
    if size is None:
        return job
    changed = {f.name: getattr(job.engine, f.name) for f in fields(Engine)}
    asked = job.settings.engine
    words = " ".join(f"{k}={v}" for k, v in changed.items() if v != getattr(asked, k))
    preset = job.settings.presets.get("engine", "custom")
    line = f"engine {preset}{f' takes {words}' if words else ''} on {hardware}: "
    line += one_line(fit(size, job.engine, hardware, needs))
    if lowered:
        line += f"; starts with what worked after memory ran out ({RECORD})"
    _note_once(line, console, findings)
    return job


def ladder_of(jobs: Iterable[Job]) -> Ladder | None:
    """Return one ladder for runs that share an engine, with the needs of all of them."""
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


def record_steps(job: Job, steps: list[Rung]) -> None:
    """Record the settings lowered before the engine loaded, for the next launch."""
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
    """Return the changes in memory.json; none if it is unusable or from other hardware."""
    record = read_json(job.run_dir / RECORD)
    if not isinstance(record, dict) or record.get("hardware") != hardware.label:
        return {}
    changed = record.get("changed")
    asked = record.get("asked")
    try:
        now = to_plain(job.settings.engine)  # a value typed anew beats the record
        changed = {k: v for k, v in changed.items() if k in STEPPED and asked.get(k) == now[k]}
        engine = replace(job.settings.engine, **changed)
        for name, value in changed.items():
            hint = keys()[f"engine.{name}"].type
            if not isinstance(value, hint) and not (isinstance(value, int) and hint is float):
                raise TypeError(f"{name}={value!r}")
        validate(replace(job.settings, engine=engine))
    except (TypeError, KeyError, AttributeError, UserError):  # edited, or of another version
        return {}
    return changed


def _stepped_down_after_kill(job: Job, console: Console) -> Job:
    """Return the job, one step smaller if the kernel's OOM killer may have ended the last attempt.

    An engine in the killed process leaves no other sign.
    """
    last = last_attempt(job.run_dir)
    if last is None or (last / ENDED).exists():
        return job
    then = read_json(last / "environment.json") or {}
    before = then.get("oom_kills")
    kills = machine.num_oom_kills() - before if isinstance(before, int) else 0
    if kills <= 0 or then.get("boot_id") != machine.boot_id():
        return job
    what = "the last attempt was killed, and the kernel has killed processes for memory since"
    fault = MemoryFault(OomKind.killed, {}, what)
    rung = job.ladder.next(job.engine, fault)
    if job.settings.engine.on_oom is not OnOom.step_down or rung is None:
        advice = f"; type {rung}, or engine.on_oom=step_down" if rung else ""
        console.note(f"note: {what}{advice}")
        return job
    job = replace(job, engine=rung.engine)
    record_steps(job, [rung])
    (last / ENDED).touch()  # step down once for each kill
    console.note(f"{what}; stepping down to {rung}")
    return job


def _lowered_before(job: Job, hardware: Hardware, needs: Needs) -> dict[str, Any]:
    """Return the lowered settings that worked before; none on other hardware or if not wanted."""
    if job.settings.engine.on_oom is not OnOom.step_down:
        return {}
    kept = _recorded(job, hardware)
    length = kept.get("max_model_len")
    if length and needs.longest and length < needs.longest:  # longer prompts were added since
        del kept["max_model_len"]
    return kept


def size_of(job: Job) -> ModelSize | None:
    """Return the size of the job's model; None without a model, or if its shape is unknown."""
    if job.model is None or job.settings.engine.backend is not Backend.vllm:
        return None
    try:
        overrides = job.settings.engine.extra.get("hf_overrides")
        return planned_model(job.model, str(job.settings.model.model_path), overrides).size
    except UserError:
        return None


def hardware_of(job: Job) -> Hardware:
    return found(job.machine, job.device)


def is_auto(job: Job) -> bool:
    return job.settings.presets.get("engine") == "auto"


def given(job: Job) -> frozenset[str]:
    """Return the names of the engine settings that the user typed."""
    names = (key.removeprefix("engine.") for key in job.settings.given if key.startswith("engine."))
    return frozenset(names)


def _chosen(
    job: Job, size: ModelSize, hardware: Hardware, needs: Needs, findings: Findings
) -> Engine:
    """Return an engine chosen before if it can serve this run, else the planner's choice."""
    key = f"{job.settings.engine} {job.settings.scale} {size.name} {hardware}"
    if (before := findings.engines.get(key)) is not None:
        tried = fit(size, before, hardware, needs)
        if tried.fits and tried.max_model_len >= min(needs.longest, size.shape.max_position):
            return before
    findings.engines[key] = _planned(job, size, hardware, needs).engine
    return findings.engines[key]


def _planned(job: Job, size: ModelSize, hardware: Hardware, needs: Needs) -> Choice:
    """Return the planner's choice: one engine on all devices or, with scale=ray, a replica."""
    engine, scale = job.settings.engine, job.settings.scale
    if scale.mode is Scale.local:
        return choose(size, engine, hardware, needs, given(job))
    num_samples = job.prompts.num_rows * job.settings.sampling.n_samples
    options = choose_replicas(size, engine, hardware, needs, scale, given(job), num_samples)
    return options[0].choice


def _lengths(job: Job, size: ModelSize, console: Console, findings: Findings) -> Lengths | None:
    """Return the token lengths of the input, and print them; None if they can't be counted."""
    key, known = f"{job.settings.data} {job.settings.model}", findings.lengths
    if key in known:
        return known[key]
    known[key] = None
    try:
        tokenizer = tokenizer_of(size.checkpoint, job.settings, job.model)
    except NoTokenizer as error:
        _note_once(f"prompts: not counted, {error}", console, findings)
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
    _note_once(line, console, findings)
    if note := room_note(lengths, context, job.settings.sampling):
        _note_once(note, console, findings)
    for check in check_prompts(job.prompts, tokenizer):
        if check != STRINGS_CONTINUED:  # progress.hints covers it
            _note_once(f"note: {check}", console, findings)
    return lengths


def _note_cut_rows(
    engine: Engine,
    size: ModelSize,
    lengths: Lengths | None,
    job: Job,
    console: Console,
    findings: Findings,
) -> None:
    """Note the rows that lose room because the context was shortened to fit."""
    context, max_tokens = engine.max_model_len, job.settings.sampling.token_limit or 1
    if lengths is None or context in (None, job.settings.engine.max_model_len):
        return
    over = lengths.num_longer_than(context - 1)
    cut = lengths.num_longer_than(context - max_tokens)
    if cut.num_rows == 0:
        return
    about = "" if over.is_exact and cut.is_exact else "about "
    _note_once(
        f"note: the context of {size.shape.max_position:,} tokens does not fit here; in "
        f"{context:,} tokens {about}{over.num_rows:,} rows leave no room for a response and {about}"
        f"{cut.num_rows - over.num_rows:,} less than max_tokens={max_tokens}; type "
        f"engine.max_model_len={context} for the same context on any machine",
        console,
        findings,
    )


def _note_once(line: str, console: Console, findings: Findings) -> None:
    if line not in findings.printed:
        findings.printed.add(line)
        console.note(line)

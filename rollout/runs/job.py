"""Check a run before it starts: settings, input, places, machine and model.

Refuses everything that can be refused in about a second, cheapest check first. Writes nothing and
imports no engine. Problems that appear only while loading are left to rollout/engines.
"""

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path

from rollout.config.sections.engine import Backend, Device, Engine
from rollout.config.sections.model import Model
from rollout.config.sections.postprocess import Postprocess
from rollout.config.sections.scale import Scale, ScaleOut
from rollout.config.settings import Resume, Settings, objective_in
from rollout.config.validate import validate
from rollout.engines import look
from rollout.engines.base import EnginePlan, Ladder
from rollout.errors import UserError, did_you_mean
from rollout.inputs.adapters import Adapter, resolve_adapter
from rollout.inputs.chat_template import chat_template_text
from rollout.inputs.input_files import InputFiles
from rollout.inputs.models import ResolvedModel, resolve_model
from rollout.inputs.prompt_columns import refuse_rival
from rollout.inputs.prompts import Prompts, open_prompts
from rollout.plan.device import choose_device
from rollout.prepare.output import MARK
from rollout.rows.columns import Column
from rollout.runs.findings import Findings
from rollout.runs.metrics import number_names
from rollout.runs.output import (
    chosen_columns,
    refuse_clash,
    refuse_many_files,
    refuse_moved_input,
    refuse_no_place,
    refuse_own_input,
    refuse_own_shards,
    written_as,
)
from rollout.runs.workflow import RunPlaces, named_files, refuse_unscorable, run_places
from rollout.store.ledger import Ledger
from rollout.store.places import Writer
from rollout.store.run_dir import holds_rows, is_a_run, own_files, refuse_users_files
from rollout.system import machine
from rollout.system.console import Console

SCORES = (  # figures of a scored run
    "pass@1", "pass@K", "mean", "maj@n", "best@n", "num_judged", "num_right", "num_wrong",
    "num_no_answer", "num_cut_off", "num_errors", "num_unjudged",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Job:
    """A checked run, ready to start."""

    settings: Settings
    prompts: Prompts
    columns: list[Column]
    device: Device
    machine: machine.Machine
    model: ResolvedModel | None  # None: the scripted engine needs none
    asked_model: Model  # as set, with the text of its chat template
    run_dir: Path
    places: RunPlaces
    writer: Writer
    argv: list[str] | None  # the command line; None: called from Python
    engine: Engine  # the settings to load: as typed, until fitting.py settles them
    adapter: Adapter | None = None
    ladder: Ladder | None = None  # what to lower when memory runs out; None: not settled yet

    @property
    def output_path(self) -> Path:
        return self.places.output.path


def prepare(
    settings: Settings,
    console: Console,
    argv: list[str] | None = None,
    findings: Findings | None = None,
) -> Job:
    """Return the checked job of these settings. Raises UserError.

    `findings` caches inputs and models for the next call, as points of a sweep share them.
    """
    validate(settings)
    refuse_objective(objective_in(settings), settings.postprocess)
    findings = findings or Findings()
    template = chat_template_text(settings.model.chat_template)
    asked_model = replace(settings.model, chat_template=template)
    columns = chosen_columns(settings)
    run_dir = Path(settings.run_dir).expanduser().absolute()
    refuse_no_place(run_dir)
    if is_a_run(run_dir) and settings.resume is Resume.never and holds_rows(run_dir):
        raise UserError(
            f"run_dir={run_dir} already holds a run, and resume=never; leave that out to resume "
            "the run, or type resume=fresh to move it aside and start over, or another run_dir="
        )
    refuse_users_files(run_dir)
    places = run_places(settings, run_dir)
    key = str(settings.data)
    prompts = findings.prompts[key] = findings.prompts.get(key) or open_prompts(settings.data)
    is_ours = MARK in (prompts.schema.metadata or {})
    if not (is_ours or is_a_run(run_dir) or "data.prompt_key" in settings.given):
        refuse_rival(prompts.schema, prompts.files[0], settings.data)
    refuse_clash(prompts, columns, settings)
    refuse_unscorable(settings, prompts, columns)
    refuse_many_files(prompts, settings)
    refuse_own_input(prompts, run_dir)
    inputs = [InputFiles("data.input", tuple(prompts.files), settings.data.input or "")]
    refuse_own_shards(inputs[0], run_dir)
    inputs += named_files(settings)
    writer = Writer(inputs, Ledger(run_dir), run_dir, tag_of(run_dir))
    if settings.resume is Resume.fresh:
        refuse_moved_input(prompts, run_dir)
        moved = [Path(os.path.realpath(run_dir)) / name for name in own_files(run_dir)]
        moved = moved if is_a_run(run_dir) else []
        # The new run does not own what the old one wrote elsewhere.
        Writer(inputs, None, run_dir).check(places, moved)
    else:
        writer.check(places)
    found = look(settings.scale)
    preset = str(settings.presets.get("engine", "custom"))
    device = choose_device(settings.engine, preset, found)
    model = adapter = None
    if settings.engine.backend is Backend.vllm:
        extra = settings.engine.extra
        needs = {
            "needs_weights": extra.get("load_format") != "dummy",
            "needs_tokenizer": not (extra.get("tokenizer") or extra.get("skip_tokenizer_init")),
        }
        key, models = f"{settings.model} {needs}", findings.models
        model = models[key] = models.get(key) or resolve_model(
            settings.model, console.note, **needs
        )
        if lora := settings.model.lora_path:
            key, adapters = f"{lora} {model.path}", findings.adapters
            adapter = adapters[key] = adapters.get(key) or resolve_adapter(
                lora, model.config, console.note
            )
    return Job(
        settings, prompts, columns, device, found, model, asked_model, run_dir, places, writer,
        argv, settings.engine, adapter,
    )  # fmt: skip


def refuse_objective(objective: str, wanted: Postprocess) -> None:
    """Raise UserError if summary.json will have no such figure."""
    section, _, name = objective.partition(".")
    if section == "scores" and wanted.scorer is None:
        raise UserError(
            f"objective={objective} needs scores, and nothing is scored; type "
            "postprocess.scorer=math, for example, or leave objective out"
        )
    known = [*number_names(), "wall_s", "num_engine_restarts"]
    known += [f"engine.{name}" for name in ("max_num_seqs", "max_model_len", "kv_cache_tokens")]
    if wanted.scorer is not None:
        known = [f"scores.{name}" for name in SCORES] + known
        if section == "scores" and (k := name.removeprefix("pass@")).isdecimal():
            if wanted.estimate.k and int(k) not in wanted.estimate.k:
                raise UserError(
                    f"objective={objective}, but postprocess.estimate.k={wanted.estimate.k} "
                    f"leaves pass@{k} out; add {k} to it"
                )
            return  # only the rows show whether any prompt has k samples
    if objective not in known:
        raise UserError(
            f"objective={objective}: summary.json has no such figure."
            f"{did_you_mean(objective, known)} Choose from: {', '.join(known)}"
        )


def describe(job: Job) -> str:
    """Return what a run of `job` would do, for dry_run."""
    s, n = job.settings, job.settings.sampling.n_samples
    rows = job.prompts.num_rows
    return "\n".join(
        (
            f"dry run: {rows:,} rows x {n} samples = {rows * n:,} responses, nothing started",
            f"  input   {s.data.input} ({len(job.prompts.files)} file(s), {job.prompts.builder})",
            f"  model   {job.model.path if job.model else 'none (scripted engine)'}",
            f"  engine  {s.presets.get('engine')} on {job.device.name}: {job.machine}",
            *([_on_ray(s.scale)] if s.scale.mode is Scale.ray else []),
            f"  sample  max_tokens={s.sampling.max_tokens} temperature={s.sampling.temperature} "
            f"top_p={s.sampling.top_p} top_k={s.sampling.top_k} seed={s.sampling.seed}",
            f"  output  {job.output_path}{written_as(s.output)}",
            f"  run     {job.run_dir}",
        )
    )


def _on_ray(scale: ScaleOut) -> str:
    where = f"the cluster at {scale.address}" if scale.address else "a cluster started here"
    is_auto = scale.num_replicas == "auto"
    count = "as many replicas as fit" if is_auto else f"{scale.num_replicas} replicas"
    return f"  scale   ray, {count}, on {where}"


def plan_of(job: Job, directory: Path) -> EnginePlan:
    """Return the plan to load the job's engine; its log is written to `directory`."""
    model = job.model
    return EnginePlan(
        model=job.asked_model,
        model_path=model.path if model else "",
        revision=model.revision if model else None,
        engine=job.engine,
        device=job.device,
        available_gib=job.machine.available_gib,
        log_file=directory / "engine.log",
        lora_rank=job.adapter.rank if job.adapter else 0,
        num_loras=int(job.adapter is not None),
        scale=job.settings.scale,
    )


def tag_of(run_dir: Path) -> str:
    """Return a tag for the run's temporary output, so that its next launch overwrites that."""
    return hashlib.blake2b(os.fsencode(run_dir), digest_size=4).hexdigest()

"""A plan: which engine presets fit, for which data, and which one is recommended."""

from dataclasses import dataclass, replace
from typing import Any

from rollout.config.presets import preset_keys
from rollout.config.sections.engine import Device
from rollout.config.settings import Settings
from rollout.inputs.prompts import Prompts
from rollout.plan.choose import Change, Choice
from rollout.plan.history import Record
from rollout.plan.memory.fit import Fit, Needs, fit
from rollout.plan.memory.hardware import Hardware
from rollout.plan.model import PlannedModel
from rollout.plan.prompts.first_rows import PromptPreview
from rollout.plan.prompts.lengths import Lengths
from rollout.plan.replicas import Replicas

# Devices in presets' names, with the least GiB of those that the preset is made for.
NAMED_DEVICES = {"a100": 70.0, "h100": 70.0, "h200": 130.0, "rtx_4090": 20.0}


@dataclass(frozen=True, slots=True)
class Row:
    """One engine preset of the table."""

    preset: str
    fit: Fit
    choice: Choice | None  # for engine=auto only
    replicas: Replicas | None = None  # for scale=ray only

    @property
    def fits(self) -> bool:
        return self.fit.fits if self.replicas is None else self.replicas.fits

    @property
    def num_devices(self) -> int:
        """Devices that the run uses."""
        return self.fit.engine.world_size * (self.replicas.num_replicas if self.replicas else 1)


@dataclass(frozen=True, slots=True)
class DataFigures:
    """What was measured of the input."""

    prompts: Prompts | None  # None: no data.input
    lengths: Lengths | None
    why_not: str  # why lengths were not counted
    shown: list[PromptPreview]
    checks: list[str]


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that the command prints."""

    settings: Settings
    model: PlannedModel
    hardware: Hardware
    data: DataFigures
    needs: Needs
    rows: list[Row]
    change: Change | None  # makes the selected preset fit
    num_needed: int | None  # devices of this kind that would hold the selected preset
    recommended: Row | None
    history: Record | None
    options: list[Replicas]  # ways to divide the devices, the best first; for scale=ray only
    shows_all: bool = False  # presets for other hardware too

    @property
    def fits_alone(self) -> bool:
        """Whether one device holds the model with the recommended context."""
        engine = self.recommended.fit.engine
        single = replace(engine, tensor_parallel_size=1, pipeline_parallel_size=1)
        return fit(self.model.size, single, self.hardware, self.needs).fits

    @property
    def shown(self) -> list[Row]:
        """The presets to print: without those for other hardware, unless typed or recommended."""
        kept = (self.selected, self.recommended)
        return [
            row for row in self.rows
            if self.shows_all or row in kept or not is_for_other_hardware(row)
        ]  # fmt: skip

    @property
    def selected(self) -> Row:
        """The preset that the command selects."""
        return next(row for row in self.rows if row.preset == self.settings.presets["engine"])


def recommended(rows: list[Row]) -> Row | None:
    """Return `auto`, or a preset named after these devices that holds about as many samples.

    Of replicas, `auto`: it is what the ways to divide the devices are compared by.
    """
    auto = next((row for row in rows if row.preset == "auto" and row.fits), None)
    if auto and auto.replicas:
        return auto
    for row in sorted(rows, key=lambda row: -row.fit.num_concurrent):
        if row.preset == "auto" or not row.fits or not _is_named_after(row):
            continue
        if auto is None:
            return row
        same = row.fit.engine.tensor_parallel_size == auto.fit.engine.tensor_parallel_size
        if same and row.fit.num_concurrent >= 0.8 * auto.fit.num_concurrent:
            return row
    if auto is None:
        fitting = [row for row in rows if row.fits]
        return max(fitting, key=lambda row: row.fit.num_concurrent, default=None)
    return auto


def _is_named_after(row: Row) -> bool:
    """Whether the preset's name contains the device's: single_a100 for an A100 of 80 GB."""
    hardware = row.fit.hardware
    if hardware.device is Device.cpu:
        return row.preset == "cpu"
    label = _label(hardware)
    return any(
        device in row.preset and device in label and hardware.memory_gib >= least_gib
        for device, least_gib in NAMED_DEVICES.items()
    )


def is_for_other_hardware(row: Row) -> bool:
    """Whether the preset's name contains another device: rtx_4090 for an A100, cpu for any GPU."""
    hardware = row.fit.hardware
    if hardware.device is Device.cpu:
        return any(device in row.preset for device in NAMED_DEVICES)
    named = [device for device in NAMED_DEVICES if device in row.preset]
    return row.preset == "cpu" or (bool(named) and not any(d in _label(hardware) for d in named))


def _label(hardware: Hardware) -> str:
    return hardware.label.lower().replace(" ", "_").replace("-", "_")


SAMPLING = (
    "n_samples", "max_tokens", "temperature", "top_p", "top_k", "repetition_penalty", "seed",
)  # fmt: skip


def sampling_values(plan: Plan) -> dict[str, tuple[Any, str]]:
    """Return each effective sampling value and where it comes from, by name."""
    settings, suggested = plan.settings, plan.model.generation_config
    chosen = {g: str(settings.presets.get(g)) for g in ("sampling", "experiment")}
    found: dict[str, tuple[Any, str]] = {}
    for name in SAMPLING:
        key, value = f"sampling.{name}", getattr(settings.sampling, name)
        where = "default"
        for group, preset in chosen.items():
            if preset != "None" and key in preset_keys(group, preset, None):
                where = f"{group}={preset}" if preset != "default" else "default"
        if key in settings.given:
            where = "given"
        if value is None:
            value, where = suggested.get(name, "vLLM's default"), "the model's generation_config"
        found[name] = value, where
    return found


def work(plan: Plan) -> dict[str, Any]:
    """Return the number of requests and samples, the most output tokens, and an estimate.

    The estimate (tokens, seconds) comes from this machine's last run; replicas are estimated only
    from a run on as many GPUs. Empty without data.
    """
    settings, data = plan.settings, plan.data
    if data.prompts is None:
        return {}
    askable = data.prompts.num_rows
    if data.lengths is not None:
        over = data.lengths.num_longer_than(plan.selected.fit.max_model_len - 1)
        askable -= data.lengths.num_bad + over.num_rows
    limit = settings.sampling.token_limit or plan.selected.fit.max_model_len
    num_samples = askable * settings.sampling.n_samples
    found: dict[str, Any] = {
        "num_requests": askable,
        "num_samples": num_samples,
        "most_output_tokens": num_samples * limit,
        "likely_output_tokens": None,
        "likely_s": None,
    }
    is_like = plan.history is not None and (
        not plan.options or plan.history.num_gpus == plan.selected.num_devices
    )
    if is_like and plan.history.output_tokens_per_s > 0:
        mean = min(plan.history.mean_response_tokens, limit)
        found["likely_output_tokens"] = round(num_samples * mean)
        found["likely_s"] = num_samples * mean / plan.history.output_tokens_per_s
    return found

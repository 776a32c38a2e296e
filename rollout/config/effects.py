"""Refuse settings that have no effect because of other settings.

Only settings that the user set to something other than the default count, not those of presets.
Guarantees a UserError that names the first one, why, and what was likely meant; in a sweep, only
one without effect at every point. Must not know about inputs or models.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from rollout.config.names import STAGES, SWITCHES, bag_of, known_keys
from rollout.config.schema import get
from rollout.config.sections.engine import Backend, OnOom
from rollout.config.sections.scale import Scale
from rollout.config.sections.tracking import Tracker
from rollout.config.settings import Settings
from rollout.errors import UserError
from rollout.rows.columns import COLUMNS

SCORERS_WITH_SETTINGS = (
    "exact",
    "choice",
    "regex",
    "json_schema",
    "reasoning_gym",
    "code",
    "python",
)
THRESHOLDS = (
    "truncated_fraction", "empty_fraction", "unclosed_fraction", "duplicate_fraction",
    "repetitive_fraction", "failed_fraction",
)  # fmt: skip
NO_FILTER = {"sampling.top_p": (1, None), "sampling.top_k": (-1, 0, None), "sampling.min_p": (0,)}


@dataclass(frozen=True, slots=True)
class Rule:
    """Keys, and when they have no effect.

    `keys` are whole keys, or sections with a trailing dot; `but` are exceptions. `cause` is the
    setting to blame, `instead` what to type. `likely` maps some keys to the one probably meant.
    """

    keys: tuple[str, ...]
    cause: str
    is_idle: Callable[[Settings], bool]
    why: str
    instead: str
    likely: dict[str, str] = field(default_factory=dict)
    but: tuple[str, ...] = ()

    def covers(self, key: str) -> bool:
        named = any(key == k or (k.endswith(".") and key.startswith(k)) for k in self.keys)
        return named and not any(key == k or key.startswith(f"{k}.") for k in self.but)


def _is_greedy(settings: Settings) -> bool:
    return settings.sampling.temperature == 0 and settings.data.sampling_key is None


RULES = (
    Rule(
        ("prepare.",),
        "prepare.source",
        lambda s: s.prepare.source is None,
        "no prompts are prepared without prepare.source",
        "type prepare.source=FILE, or leave it out",
        {
            "prepare.system": "data.system_prompt",
            "prepare.template": "data.template",
            "prepare.prompt_key": "data.prompt_key",
            "prepare.prompt_column": "data.prompt_key",
            "prepare.limit": "data.limit",
            "prepare.sample": "data.limit",
            "prepare.seed": "sampling.seed",
            "prepare.on_error": "data.on_error",
            "prepare.output.path": "output.path",
            "prepare.output.overwrite": "output.overwrite",
        },
        but=("prepare.source",),
    ),
    *(
        Rule(
            (f"postprocess.{name}.",),
            "postprocess.scorer",
            lambda s, name=name: s.postprocess.scorer != name,
            f"it is used by scorer={name}",
            f"type postprocess.scorer={name}, or leave it out",
        )
        for name in SCORERS_WITH_SETTINGS
    ),
    Rule(
        ("postprocess.",),
        "postprocess.scorer",
        lambda s: s.postprocess.scorer is None,
        "no responses are scored, and none selected or exported, without postprocess.scorer",
        "type postprocess.scorer=NAME (--help all lists them), or leave it out",
        {
            "postprocess.output.path": "output.path",
            "postprocess.output.overwrite": "output.overwrite",
            "postprocess.prefix": "output.prefix",
            "postprocess.prompt_key": "data.prompt_key",
            "postprocess.select.max_tokens": "sampling.max_tokens",
            "postprocess.select.min_tokens": "sampling.min_tokens",
            "postprocess.estimate.seed": "sampling.seed",
        },
        but=("postprocess.scorer", "postprocess.input"),  # a run has its own message for input
    ),
    Rule(
        (
            "tracking.project",
            "tracking.entity",
            "tracking.name",
            "tracking.group",
            "tracking.tags",
            "tracking.mode",
            "tracking.num_table_rows",
            "tracking.artifact",
        ),
        "tracking.tracker",
        lambda s: s.tracking.tracker is Tracker.none,
        "with tracking=none nothing is sent to wandb",
        "type tracking=wandb, or leave it out",
    ),
    Rule(
        ("scale.",),
        "scale.mode",
        lambda s: s.scale.mode is Scale.local,
        "scale=local runs one engine on this machine, without Ray",
        "type scale=ray, or leave it out",
        but=("scale.mode", "scale.num_replicas"),  # validate.py has a message for the second
    ),
    Rule(
        ("scale.dashboard",),
        "scale.address",
        lambda s: s.scale.address is not None,
        "the cluster at scale.address is running already",
        "start the dashboard with that cluster, or leave it out",
    ),
    Rule(
        ("engine.scripted.",),
        "engine.backend",
        lambda s: s.engine.backend is not Backend.scripted,
        "it is used by the scripted engine",
        "type engine=scripted, or leave it out",
        {"engine.scripted.max_model_len": "engine.max_model_len"},
    ),
    Rule(
        ("engine.on_oom_kv_cache_dtype",),
        "engine.on_oom",
        lambda s: s.engine.on_oom is not OnOom.step_down,
        "it is used by engine.on_oom=step_down",
        "type engine.on_oom=step_down, or engine.kv_cache_dtype= to use it from the start",
    ),
    Rule(
        ("stop_if.after_samples",),
        "stop_if",
        lambda s: all(getattr(s.stop_if, name) is None for name in THRESHOLDS),
        "no stop_if threshold is set",
        "add one, such as stop_if.truncated_fraction=0.5",
    ),
    Rule(
        ("data.max_attempts",),
        "retry_failed",
        lambda s: not s.retry_failed,
        "failed rows are retried only with retry_failed=true",
        "add retry_failed=true, or leave it out",
    ),
    Rule(
        tuple(NO_FILTER),
        "sampling.temperature",
        _is_greedy,
        "sampling.temperature=0 takes the most likely token each time",
        "raise the temperature, or leave it out",
    ),
    Rule(
        ("sampling.include_stop_str_in_output",),
        "sampling.stop",
        lambda s: (
            not s.sampling.stop and "stop" not in s.sampling.extra and s.data.sampling_key is None
        ),
        "no stop text is set",
        "add sampling.stop=[TEXT], or leave it out",
    ),
    Rule(
        ("output.reasoning_parser",),
        "output.columns",
        lambda s: not any(COLUMNS[c].is_derived for c in s.output.columns if c in COLUMNS),
        "no output column uses it",
        "add one to output.columns: reasoning, final_response or is_reasoning_closed",
    ),
)


def without_effect(settings: Settings, section: str = "") -> dict[str, Rule]:
    """Return the keys of `section` (empty: of all) that were set and have no effect."""
    found = {}
    for key in settings.given:
        name = bag.name if (bag := bag_of(key)) else key
        if not key.startswith(section) or name not in known_keys() or _is_unset(settings, name):
            continue
        rule = next((r for r in RULES if r.covers(key) and r.is_idle(settings)), None)
        if rule:
            found[key] = rule
    return found


def _is_unset(settings: Settings, name: str) -> bool:
    """Whether the value is the default, or turns its filter off."""
    value = get(settings, name)
    return value == known_keys()[name].default or value in NO_FILTER.get(name, ())


def refuse_without_effect(settings: Settings, swept: Collection[str] = ()) -> None:
    """Raise UserError for a setting without effect.

    If its cause is among the `swept` keys it passes: it may have an effect at another point.
    """
    for key, rule in without_effect(settings).items():
        if not {rule.cause, rule.cause.split(".")[0], "experiment"} & set(swept):
            raise UserError(_message(settings, key, rule))


def refuse_without_effect_everywhere(points: list[Settings], swept: Collection[str] = ()) -> None:
    """Raise UserError for a setting that has no effect at any of a sweep's points."""
    if len(points) == 1:  # an optimizer's first point
        return refuse_without_effect(points[0], swept)
    found = [without_effect(settings) for settings in points]
    for key, rule in (found[0] if found else {}).items():
        if all(key in others for others in found):
            raise UserError(_message(points[0], key, rule))


def refuse_without_effect_in_stage(settings: Settings, stage: str) -> None:
    """As refuse_without_effect, for a stage's command, whose keys lack the stage's name."""
    if get(settings, SWITCHES[stage]) is None:
        return  # the command reports that itself
    for key, rule in without_effect(settings, f"{stage}.").items():
        raise UserError(_message(settings, key, rule).replace(f"{stage}.", ""))


def _message(settings: Settings, key: str, rule: Rule) -> str:
    name = bag.name if (bag := bag_of(key)) else key
    value = get(settings, name)
    text = str(value).lower() if isinstance(value, bool) else getattr(value, "name", value)
    shown = "" if bag else f"={text}"
    likely = rule.likely.get(key)
    section, _, leaf = key.rpartition(".")
    if section.startswith(STAGES) and rule.cause == "postprocess.scorer" and not likely:
        other = f"postprocess.{settings.postprocess.scorer}.{leaf}"
        likely = other if other in known_keys() else None
    if likely:
        hint = f"did you mean {likely}? Otherwise {rule.instead}"
        return f"{key}{shown} has no effect: {rule.why}; {hint}"
    return f"{key}{shown} has no effect: {rule.why}; {rule.instead}"

"""Checks of the settings of estimates, selection and exports before any work."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rollout.config.sections.export import Export, Format, Select
from rollout.errors import UserError, did_you_mean
from rollout.rows.column_paths import field_at

if TYPE_CHECKING:
    import pyarrow as pa

    from rollout.config.sections.postprocess import Postprocess

RESPONSES = (Format.sft, Format.prompt_completion, Format.dpo)  # formats that hold responses
PROMPTS = (Format.grpo, Format.verl)  # formats that hold prompts and answers
ALL = (*RESPONSES, *PROMPTS)
FORMATS_OF = {  # setting -> the formats that use it
    "select.passed": RESPONSES,
    "select.finished": RESPONSES,
    "select.dedupe": RESPONSES,
    "select.min_chars": RESPONSES,
    "select.max_chars": RESPONSES,
    "select.min_tokens": RESPONSES,
    "select.max_tokens": RESPONSES,
    "select.max_per_prompt": (Format.sft, Format.prompt_completion),
    "select.min_pass_rate": ALL,
    "select.max_pass_rate": ALL,
    "export.path": ALL,
    "export.keep": ALL,
    "export.as_chat": (*RESPONSES, Format.grpo),
    "export.as_asked": ALL,
    "export.few_shot": ALL,
    "export.answer_key": PROMPTS,
    "export.data_source": (Format.verl,),
    "export.ability": (Format.verl,),
    "export.split": (Format.verl,),
    "export.max_pairs": (Format.dpo,),
    "export.min_margin": (Format.dpo,),
}
DEFAULTS = {"select": Select(), "export": Export()}


def check_settings(settings: "Postprocess") -> None:
    """Refuse settings that contradict one another or have no effect. Raises UserError."""
    export, select = settings.export, settings.select
    if bad := [k for k in settings.estimate.k if k < 1]:
        raise UserError(f"estimate.k={bad[0]}: pass@k needs a k of 1 or more")
    for key, formats in FORMATS_OF.items():
        section, name = key.split(".")
        value = getattr(getattr(settings, section), name)
        if value == getattr(DEFAULTS[section], name) or export.format in formats:
            continue
        shown = str(value).lower() if isinstance(value, bool) else value
        names = ", ".join(format.name for format in formats)
        if export.format is Format.none:
            path = "" if key == "export.path" else " export.path=train.parquet"
            raise UserError(
                f"{key}={shown} needs an export, but export.format=none; type "
                f"export.format={formats[0].name}{path} (or one of {names})"
            )
        raise UserError(
            f"{key}={shown} has no effect on export.format={export.format.name}, only on "
            f"{names}; leave it out"
        )
    for unit, what in (("pass_rate", "prompt"), ("chars", "response"), ("tokens", "response")):
        low, high = (getattr(select, f"{end}_{unit}") for end in ("min", "max"))
        if low is not None and high is not None and low > high:
            raise UserError(
                f"select.min_{unit}={low} is above select.max_{unit}={high}: no {what} fits; type "
                "a smaller minimum or a larger maximum"
            )
    for key, names in (
        ("estimate.group_by", settings.estimate.group_by),
        ("export.keep", export.keep),
    ):
        if twice := [name for name in names if names.count(name) > 1]:
            raise UserError(f"{key} names {twice[0]!r} twice; leave one out")


def check_columns(settings: "Postprocess", schema: "pa.Schema") -> None:
    """Refuse settings that name missing columns. Raises UserError."""
    needed: dict[str, Sequence[str]] = {"estimate.group_by": settings.estimate.group_by}
    select = settings.select
    if settings.export.format is not Format.none:
        needed["export.keep"] = settings.export.keep
        if (select.min_tokens, select.max_tokens) != (None, None):
            prefix = settings.responses_key.removesuffix("responses")
            needed["select.min_tokens and max_tokens"] = [f"{prefix}num_response_tokens"]
    for key, names in needed.items():
        for name in names:
            if name not in schema.names and (key == "export.keep" or not field_at(schema, name)):
                guess = did_you_mean(name, schema.names)
                listed = ", ".join(schema.names[:20]) + ", ..." * (len(schema.names) > 20)
                raise UserError(
                    f"{key}: the input has no column {name!r}.{guess} Choose from: {listed}"
                )

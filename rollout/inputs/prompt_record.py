"""Record on the output's column `responses` how its prompts were made, for later exports.

A run whose prompts are not just the column `prompt` (data.template, data.system_prompt,
data.tools, ...) stores these settings in the column's metadata, with all texts in full, since the
files they were read from may change. Prompts with few-shot examples have a second column without
them. Must not know about runs, scorers or export formats.
"""

import json
import re
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Any

from rollout.config.schema import WHAT, keys_of
from rollout.config.sections.data import Data
from rollout.inputs.prompt_builder import PromptBuilder
from rollout.inputs.row_template import open_template

if TYPE_CHECKING:
    import pyarrow as pa

PROMPT_RECORD = b"rollout.asked"
RESPONSES = ("response", "responses")  # name endings of the columns that carry the record
DIGEST = re.compile(r"(.{60}) \(digest [0-9a-f]{8}\)\Z", re.S)  # after a long text
NOT_IN_PROMPTS = ("offset", "shuffle_seed", "sampling_key")  # they do not change the prompts


def zero_shot_key(prompt_key: str) -> str:
    """Return the column with the same prompts without their few-shot examples."""
    return f"{prompt_key}_zero_shot"


def with_prompt_record(schema: "pa.Schema", builder: PromptBuilder) -> "pa.Schema":
    """Return the schema of an output with a record of how its prompts were made."""
    data = {name: _plain(getattr(builder.data, name)) for name in _changed(builder.data)}
    if not data:
        return schema
    texts = {
        "template": builder.template and builder.template.source,
        "system_prompt": builder.system,
        "tools": builder.tools and json.dumps(builder.tools, ensure_ascii=False),
    }
    return _recorded(schema, data | {key: t for key, t in texts.items() if t is not None})


def _recorded(schema: "pa.Schema", data: dict[str, Any]) -> "pa.Schema":
    """Attach the record to the last column of responses; the input's own are left unchanged."""
    names = schema.names
    place = max((i for i, name in enumerate(names) if name.endswith(RESPONSES)), default=-1)
    if place < 0:
        return schema
    field = schema.field(place)
    record = json.dumps(data, ensure_ascii=False).encode()
    return schema.set(place, field.with_metadata({**(field.metadata or {}), PROMPT_RECORD: record}))


def _record(schema: "pa.Schema") -> bytes | None:
    """Return the last record; earlier ones belong to the run whose output was this run's input."""
    found = [
        (field.metadata or {}).get(PROMPT_RECORD)
        for field in schema
        if field.name.endswith(RESPONSES)
    ]
    return found[-1] if found else None


def recorded_builder(schema: "pa.Schema") -> PromptBuilder | None:
    """Return how the prompts of this schema were made; None: just the column `prompt`."""
    if (record := _record(schema)) is None:
        return None
    found = json.loads(record).items()
    data = replace(Data(), **{k: _typed(k, value) for k, value in found if k in _of_prompts()})
    template = open_template(data.template) if data.template is not None else None
    tools = json.loads(data.tools) if data.tools is not None else None
    return PromptBuilder(data, template, data.system_prompt, tools, is_plain=False)


def with_record_from(schema: "pa.Schema", fingerprint: dict[str, Any]) -> "pa.Schema":
    """Return the schema with a record made from a run's fingerprint, unless it has one already.

    For an output that lost the record (in pandas, for example) or that an older version wrote.
    """
    if _record(schema) is not None:
        return schema
    found = {key: fingerprint.get(f"data.{key}") for key in _of_prompts()}
    data = {
        key: DIGEST.sub(r"\1", value) if isinstance(value, str) else value
        for key, value in found.items()
        if value is not None and value != _plain(getattr(Data(), key))
    }
    return _recorded(schema, data) if data else schema


def changed_settings(builder: PromptBuilder) -> list[str]:
    """Return the settings that make the prompts differ from the prompt column."""
    return [f"data.{name}" for name in _changed(builder.data) if name != "prompt_key"]


def _changed(data: Data) -> list[str]:
    """Return the settings that make the prompts and are not at their defaults."""
    return [name for name in _of_prompts() if getattr(data, name) != getattr(Data(), name)]


def _of_prompts() -> list[str]:
    """Return the settings that make the prompts."""
    return [n for n, key in keys_of(Data).items() if key.kind == WHAT and n not in NOT_IN_PROMPTS]


def _plain(value: Any) -> Any:
    return value.name if isinstance(value, Enum) else value


def _typed(name: str, value: Any) -> Any:
    kind = type(getattr(Data(), name))
    return kind[value] if issubclass(kind, Enum) else value

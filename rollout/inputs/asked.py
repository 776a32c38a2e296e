"""What was asked, recorded on the output's column `responses`, so that exports write the same.

A run whose prompts are not simply the column `prompt` (data.template, data.system_prompt,
data.tools, ...) notes how they were made, with every text in full, so that the files it read may
change. Prompts with few-shot examples have a column beside them that lacks the examples.
Must not know runs, scorers or formats.
"""

import json
import re
from dataclasses import fields, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

from rollout.config.schema import WHAT, keys_of
from rollout.config.sections.data import Data
from rollout.inputs.row_template import open_template
from rollout.inputs.wording import Wording

if TYPE_CHECKING:
    import pyarrow as pa

ASKED = b"rollout.inputs.asked"
RESPONSES = ("response", "responses")  # how the columns end that carry the record
DIGEST = re.compile(r"(.{60}) \(digest [0-9a-f]{8}\)\Z", re.S)  # after a long text
NO_WORDS = ("offset", "shuffle_seed", "sampling_key")  # they leave the prompts as they are


def zero_shot_key(prompt_key: str) -> str:
    """The column with the same prompts without their few-shot examples."""
    return f"{prompt_key}_zero_shot"


def with_asked(schema: "pa.Schema", wording: Wording) -> "pa.Schema":
    """The schema of an output with a record of how its rows were asked, on its responses."""
    data = {
        f.name: _plain(getattr(wording.data, f.name))
        for f in fields(Data)
        if f.name in _of_prompts() and getattr(wording.data, f.name) != getattr(Data(), f.name)
    }
    if not data:
        return schema
    texts = {
        "template": wording.template and wording.template.source,
        "system_prompt": wording.system,
        "tools": wording.tools and json.dumps(wording.tools, ensure_ascii=False),
    }
    return _recorded(schema, data | {key: t for key, t in texts.items() if t is not None})


def _recorded(schema: "pa.Schema", said: dict[str, Any]) -> "pa.Schema":
    """The schema with this on the last column of responses: the input's own are left alone."""
    names = schema.names
    place = max((i for i, name in enumerate(names) if name.endswith(RESPONSES)), default=-1)
    if place < 0:
        return schema
    field = schema.field(place)
    record = json.dumps(said, ensure_ascii=False).encode()
    return schema.set(place, field.with_metadata({**(field.metadata or {}), ASKED: record}))


def _record(schema: "pa.Schema") -> bytes | None:
    """The last record: one before it is of an earlier run, whose output was this run's input."""
    found = [
        (field.metadata or {}).get(ASKED) for field in schema if field.name.endswith(RESPONSES)
    ]
    return found[-1] if found else None


def asked_in(schema: "pa.Schema") -> Wording | None:
    """How the rows of this schema were asked; None: the column `prompt` as it stands."""
    if (record := _record(schema)) is None:
        return None
    said = json.loads(record)
    known = {name: _typed(name, value) for name, value in said.items() if name in _of_prompts()}
    data = replace(Data(), **known)
    template = open_template(data.template) if data.template is not None else None
    tools = json.loads(data.tools) if data.tools is not None else None
    return Wording(data, template, data.system_prompt, tools, is_plain=False)


def with_asked_by(schema: "pa.Schema", fingerprint: dict[str, Any]) -> "pa.Schema":
    """The schema with the record that a run's fingerprint makes, if it has none of its own.

    For an output that lost it, to pandas say, or that an older version wrote.
    """
    if _record(schema) is not None:
        return schema
    found = {key: fingerprint.get(f"data.{key}") for key in _of_prompts()}
    said = {
        key: DIGEST.sub(r"\1", value) if isinstance(value, str) else value
        for key, value in found.items()
        if value is not None and value != _plain(getattr(Data(), key))
    }
    return _recorded(schema, said) if said else schema


def rewording(wording: Wording) -> list[str]:
    """The settings that made the prompts other than the prompt column's own."""
    return [
        f"data.{name}"
        for name in _of_prompts()
        if name != "prompt_key" and getattr(wording.data, name) != getattr(Data(), name)
    ]


def _of_prompts() -> list[str]:
    """The settings that say what is asked."""
    return [n for n, key in keys_of(Data).items() if key.kind == WHAT and n not in NO_WORDS]


def _plain(value: Any) -> Any:
    return value.name if isinstance(value, Enum) else value


def _typed(name: str, value: Any) -> Any:
    kind = type(getattr(Data(), name))
    return kind[value] if issubclass(kind, Enum) else value

"""OpenAI batch lines: `custom_id` and `body` become a prompt, its tools and its own sampling.

Owns which members of a body are taken. Promises that the others are counted and told, never
dropped without a word. Must not know files.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rollout.config.sections.prepare import Prepare
from rollout.errors import UserError
from rollout.inputs.chats import parse
from rollout.prepare.sources.columns import is_plain_chat, json_chats
from rollout.prepare.sources.source import Chunk, Source, Tally

if TYPE_CHECKING:
    import pyarrow as pa

MARKS = ("custom_id", "body")
GONE = ("body", "method", "url")  # what a line has beside its id: the request itself
# Members of a body that vLLM's SamplingParams know, and their names there.
SAMPLING = {
    name: name
    for name in (
        "temperature", "top_p", "top_k", "min_p", "max_tokens", "min_tokens", "stop",
        "stop_token_ids", "presence_penalty", "frequency_penalty", "repetition_penalty",
        "logit_bias", "ignore_eos", "bad_words",
    )
} | {"max_completion_tokens": "max_tokens"}  # fmt: skip
TAKEN = {"messages", "tools", *SAMPLING}


def unpacked(source: Source, settings: Prepare, tally: Tally) -> Source:
    """The source with each line's body unpacked, where it holds batch lines; else as it is."""
    import pyarrow as pa

    names = source.schema.names
    is_asked_otherwise = settings.template is not None or settings.prompt_column is not None
    if is_asked_otherwise or not all(name in names for name in MARKS):
        return source
    new = (settings.prompt_key, "tools", "sampling")
    if taken := [name for name in new if name in names]:
        raise UserError(
            f"{source.name} holds OpenAI batch lines and a column {taken[0]!r} of its own; type "
            f"rename.line_{taken[0]}={taken[0]}, or prompt_key= another name for the prompts"
        )
    chats = _chats(source.schema.field("body").type)
    kept = [field for field in source.schema if field.name not in GONE]
    fields = zip(new, (chats, pa.string(), pa.string()), strict=True)
    schema = pa.schema([*kept, *(pa.field(*pair) for pair in fields)])

    read_by: dict[str, str] = {}  # filled as the rows are read

    def chunks() -> Iterator[Chunk]:
        for chunk in source.chunks():
            faults: dict[int, str] = {}
            bodies = [row["body"] for row in chunk.rows(["body"])]
            lines = [_unpacked(body, tally, faults, i) for i, body in enumerate(bodies)]
            said = [chat for chat, _, _ in lines]
            for place, name in enumerate(new[1:], 1):
                if any(line[place] for line in lines):
                    read_by[name] = f"data.{name}_key={name}"
            arrays = [chunk.batch.column(field.name) for field in kept]
            arrays.append(_array(said, chats))
            arrays += [pa.array(texts, pa.string()) for texts in list(zip(*lines, strict=True))[1:]]
            batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
            own = [dict(zip(new, line, strict=True)) for line in lines]
            rows = [row | more for row, more in zip(_kept(chunk, kept), own, strict=True)]
            yield replace(chunk, batch=batch, raw=rows, faults=faults)

    notes = [*source.notes, "OpenAI batch lines: body.messages are the prompts, tools and sampling"]
    return replace(
        source, schema=schema, chunks=chunks, prompt_column=new[0], notes=notes, read_by=read_by
    )


def _kept(chunk: Chunk, fields: "list[pa.Field]") -> Iterator[dict[str, Any]]:
    return chunk.rows([field.name for field in fields])


def _unpacked(
    body: Any, tally: Tally, faults: dict[int, str], index: int
) -> tuple[Any, str | None, str | None]:
    """A body's messages, and its tools and sampling as JSON text; its fault where it has none."""
    if isinstance(body, str):
        try:
            body = parse(body, "body", "is no JSON")
        except ValueError as error:
            faults[index] = str(error)
            return None, None, None
    if not isinstance(body, dict):
        faults[index] = f"body is {body!r:.40}, not an object with messages"
        return None, None, None
    given = {name: value for name, value in body.items() if value is not None}
    tally.left_out.update(name for name in given if name not in TAKEN)
    sampling = {SAMPLING[name]: value for name, value in given.items() if name in SAMPLING}
    messages = given.get("messages")
    if not isinstance(messages, list):
        is_there = messages is not None
        faults[index] = (
            f"body.messages is {messages!r:.40}, not a list" if is_there else "body has no messages"
        )
        messages = None
    return (
        messages,
        _json(given["tools"]) if given.get("tools") else None,
        _json(sampling) if sampling else None,
    )


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _chats(body: "pa.DataType") -> "pa.DataType":
    """The type of the prompts: as in the body where that is roles and texts, else JSON."""
    from pyarrow import types

    place = body.get_field_index("messages") if types.is_struct(body) else -1
    if place >= 0 and is_plain_chat(body.field(place).type):
        return body.field(place).type
    return json_chats()


def _array(chats: list[Any], kind: "pa.DataType") -> "pa.Array":
    import pyarrow as pa

    from rollout.prepare.sources.columns import as_json_chats

    return pa.array(chats, kind) if is_plain_chat(kind) else as_json_chats(chats)

"""OpenAI batch lines: `body` becomes a prompt, its tools and its sampling settings.

Owns which members of a body are used. Guarantees that the others are counted and reported. Must not
know files.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rollout.config.sections.prepare import Prepare
from rollout.errors import UserError
from rollout.inputs.chats import parse
from rollout.prepare.sources.columns import as_json, is_plain_chat, json_chats, prompt_array
from rollout.prepare.sources.source import Chunk, Source, Tally

if TYPE_CHECKING:
    import pyarrow as pa

MARKS = ("custom_id", "body")
REQUEST = ("body", "method", "url")  # columns of the request itself, not written
# Members of a body that vLLM's SamplingParams have, and their names there.
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
    """Return a source of batch lines with each body unpacked; other sources unchanged.

    Raises UserError if a column to add already exists.
    """
    import pyarrow as pa

    names = source.schema.names
    has_prompts = settings.template is not None or settings.prompt_column is not None
    if has_prompts or not all(name in names for name in MARKS):
        return source
    new = (settings.prompt_key, "tools", "sampling")
    if taken := [name for name in new if name in names]:
        raise UserError(
            f"{source.name} holds OpenAI batch lines and already has a column {taken[0]!r}; type "
            f"rename.line_{taken[0]}={taken[0]}, or prompt_key= with another name for the prompts"
        )
    chats = _chats(source.schema.field("body").type)
    kept = [field for field in source.schema if field.name not in REQUEST]
    fields = zip(new, (chats, pa.string(), pa.string()), strict=True)
    schema = pa.schema([*kept, *(pa.field(*pair) for pair in fields)])

    read_by: dict[str, str] = {}  # filled as the rows are read

    def chunks() -> Iterator[Chunk]:
        for chunk in source.chunks():
            faults: dict[int, str] = {}
            bodies = [row["body"] for row in chunk.rows(["body"])]
            lines = [_unpacked(body, tally, faults, i) for i, body in enumerate(bodies)]
            for place, name in enumerate(new[1:], 1):
                if any(line[place] for line in lines):
                    read_by[name] = f"data.{name}_key={name}"
            arrays = [chunk.batch.column(field.name) for field in kept]
            messages, *texts = ([line[place] for line in lines] for place in range(len(new)))
            arrays.append(prompt_array(messages, chats))
            arrays += [pa.array(column, pa.string()) for column in texts]
            batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
            kept_rows = chunk.rows([field.name for field in kept])
            rows = [
                row | dict(zip(new, line, strict=True))
                for row, line in zip(kept_rows, lines, strict=True)
            ]
            yield replace(chunk, batch=batch, raw=rows, faults=faults)

    note = "OpenAI batch lines: prompts, tools and sampling come from body"
    return replace(
        source, schema=schema, chunks=chunks, prompt_column=new[0], notes=[*source.notes, note],
        read_by=read_by,
    )  # fmt: skip


def _unpacked(
    body: Any, tally: Tally, faults: dict[int, str], index: int
) -> tuple[Any, str | None, str | None]:
    """Return a body's messages, and its tools and sampling as JSON text.

    A body without messages gets an entry in `faults` instead.
    """
    if isinstance(body, str):
        try:
            body = parse(body, "body", "is not JSON")
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
        faults[index] = "body has no messages"
        if messages is not None:
            faults[index] = f"body.messages is {messages!r:.40}, not a list"
        messages = None
    return (
        messages,
        as_json(given["tools"]) if given.get("tools") else None,
        as_json(sampling) if sampling else None,
    )


def _chats(body: "pa.DataType") -> "pa.DataType":
    """Return the type of the prompts: as in the body if it has roles and texts only, else JSON."""
    from pyarrow import types

    place = body.get_field_index("messages") if types.is_struct(body) else -1
    if place >= 0 and is_plain_chat(body.field(place).type):
        return body.field(place).type
    return json_chats()

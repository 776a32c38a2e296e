"""Prompts: parquet files become a stream of Prompt, and the same rows again for publishing.

Owns what `data.*` means: which files, which rows, which column, text or chat. Promises: a fault
of the input as a whole is a UserError within a second, found in the footers alone; a fault of
one row is that row's `error` and stops nothing; rows come in input order; columns keep their
types and the schema its metadata; memory does not grow with the files. Must not know engines,
runs or where anything is written.
"""

import glob
import hashlib
import itertools
import json
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rollout import config
from rollout.errors import RolloutError, UserError, did_you_mean
from rollout.records import Message, Prompt

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 1024
BATCH_BYTES = 16 << 20  # rows of a megabyte each must not come a thousand at a time
READ_BYTES = 1 << 20  # of a column at a time, else a whole row group's column is read at once


@dataclass(frozen=True, slots=True)
class RowGroup:
    """Where some contiguous rows of the input lie."""

    path: Path
    number: int
    start: int  # position of its first row in the whole input
    num_rows: int


@dataclass(frozen=True, slots=True, eq=False)
class Prompts:
    """The selected rows of the input. Made by `open_prompts`; holds no open file."""

    files: list[Path]
    schema: "pa.Schema"  # of all columns, those of the first file
    num_input_rows: int
    data: config.Data
    row_groups: list[RowGroup]
    rows: Sequence[int]  # positions in the whole input, ascending
    seals: dict[Path, bytes]

    @property
    def num_rows(self) -> int:
        """Rows selected by data.offset, data.limit and data.shuffle_seed."""
        return len(self.rows)

    def __iter__(self) -> Iterator[Prompt]:
        """Stream the selected prompts in input order, reading the prompt column alone."""
        for first, batch in self._read([self.data.prompt_key], BATCH_ROWS):
            for index, value in enumerate(_to_python(batch.column(0)), first):
                try:
                    content, error = self._content(value), None
                except ValueError as fault:
                    content, error = None, str(fault)
                yield Prompt(index, int(self.rows[index]), content, error)

    def batches(self, num_rows: int = BATCH_ROWS) -> "Iterator[pa.RecordBatch]":
        """Stream all columns of the selected rows in input order, at most `num_rows` at a time.

        Every batch has `schema`. Raises RolloutError where a file broke or changed since.
        """
        return (batch for _, batch in self._read(self.schema.names, num_rows))

    def digest(self) -> str:
        """Identify the input without reading it: names, sizes and footers (rows, types, stats)."""
        found = hashlib.blake2b(digest_size=16)
        for path in self.files:
            found.update(path.name.encode("utf-8", "surrogateescape") + b"\0" + self.seals[path])
        return found.hexdigest()

    def _read(self, columns: list[str], num_rows: int) -> "Iterator[tuple[int, pa.RecordBatch]]":
        """Stream the selected rows, each batch with the index of its first row."""
        import pyarrow as pa

        schema = pa.schema([self.schema.field(c) for c in columns], self.schema.metadata)
        for path, groups in itertools.groupby(self.row_groups, lambda group: group.path):
            wanted = [g for g in groups if self._picked(g.start, g.num_rows)]
            if not wanted:
                continue
            with _reading(path):
                if _seal(path) != self.seals[path]:
                    raise RolloutError(f"{path} was changed during the run; start a new run on it")
                with _open(path) as file:
                    for group in wanted:
                        yield from self._read_group(file, group, schema, num_rows)

    def _read_group(self, file, group: RowGroup, schema, num_rows: int) -> Iterator[tuple]:
        # One row group at a time: a batch across two fails where a dictionary is nested.
        row_bytes = file.metadata.row_group(group.number).total_byte_size / group.num_rows
        num_rows = max(1, min(num_rows, int(BATCH_BYTES / max(row_bytes, 1))))
        start, last = group.start, self.rows[-1]
        for batch in file.iter_batches(num_rows, [group.number], schema.names, use_threads=False):
            if picked := self._picked(start, batch.num_rows):
                chosen = _take(batch, [int(row) - start for row in self.rows[picked]])
                yield picked.start, _conform(chosen, schema)
            start += batch.num_rows
            if start > last:
                return

    def _picked(self, start: int, num_rows: int) -> slice | None:
        """Which of the selected rows lie in this stretch of the input."""
        low = bisect_left(self.rows, start)
        high = bisect_left(self.rows, start + num_rows, low)
        return slice(low, high) if low < high else None

    def _content(self, value: Any) -> str | list[Message]:
        """What is asked. Raises ValueError where the row cannot be."""
        if value is None:
            raise ValueError("the prompt is null")
        if not isinstance(value, str):
            # `datasets` keeps ragged messages as JSON, one text each.
            return _checked([_parse(m) if isinstance(m, str) else m for m in value])
        if not value:
            raise ValueError("the prompt is empty text")
        if self.data.prompt_format is config.PromptFormat.json and value.lstrip()[:1] in ("[", "{"):
            chat = _parse(value)
            messages = _checked([chat] if isinstance(chat, dict) else chat)
            if self.data.apply_chat_template is config.Template.never:
                raise ValueError("the prompt is a chat, but data.apply_chat_template=never")
            return messages
        if self.data.apply_chat_template is config.Template.always:
            return [{"role": "user", "content": value}]
        return value


def open_prompts(data: config.Data, start_dir: Path | None = None) -> Prompts:
    """Find the input, check its footers and select its rows; relative paths hang on `start_dir`.

    Raises UserError: no such input, not parquet, no such column, a type no prompt has, files
    that disagree, no rows.
    """
    files = find_files(data.input, start_dir or Path.cwd())
    schema, groups, seals, num_rows = None, [], {}, 0
    for path in files:
        with _reading(path, UserError):
            seals[path] = _seal(path)
            with _open(path) as file:
                found, metadata = file.schema_arrow, file.metadata
        if len(set(found.names)) < len(found.names):
            twice = next(name for name in found.names if found.names.count(name) > 1)
            raise UserError(f"{path} has two columns {twice!r}; rename one")
        schema = found if schema is None else _unify(schema, found, files[0], path)
        for number in range(metadata.num_row_groups):
            if size := metadata.row_group(number).num_rows:
                groups.append(RowGroup(path, number, num_rows, size))
                num_rows += size
    _check_columns(schema, files[0], data)
    rows = _select(num_rows, data)
    return Prompts(files, schema, num_rows, data, groups, rows, seals)


def find_files(text: str | None, start_dir: Path) -> list[Path]:
    """The files that a value of data.input names: a file, a glob, a directory or pkg://."""
    if not text:
        raise UserError(
            "data.input is not set; type data.input=FILE.parquet (or a glob, or a directory of "
            "parquet files), or experiment=demo for a first look"
        )
    value, path = f"data.input={text}", Path(text)
    if text.startswith("pkg://"):
        package, _, inside = text.removeprefix("pkg://").partition("/")
        try:
            path = Path(str(resources.files(package))) / inside
        except ModuleNotFoundError:
            raise UserError(f"{value}: there is no Python package {package!r}") from None
    elif "://" in text:
        raise UserError(f"{value}: only local files are read; download it and give its path")
    with suppress(RuntimeError):  # a ~name that is nobody's
        path = path.expanduser()
    start_dir, pattern = start_dir.absolute(), str(path)
    path = start_dir / path
    try:
        if path.is_dir():
            next(path.iterdir(), None)  # raises where it may not be read
            return _in_directory(path) or _refuse(f"{value} holds no *.parquet file")
        if path.exists():
            return [path] if path.is_file() else _refuse(f"{value} is not a regular file")
        if not glob.has_magic(pattern):
            _refuse(f"{value} does not exist.{_near(path)}")
    except OSError as error:
        raise UserError(f"{value}: {error.strerror}") from None
    # Not Path.glob: it takes hidden files and, before 3.13, follows no linked directories.
    names = glob.glob(pattern, root_dir=start_dir, recursive=True)  # noqa: PTH207
    matches = [start_dir / name for name in names]
    files = [p for p in matches if p.is_file()]
    files = files or [p for d in matches if d.is_dir() for p in _in_directory(d)]
    return sorted(set(files)) or _refuse(f"{value} matches no file")


def _refuse(message: str) -> Any:
    raise UserError(message)


def _in_directory(directory: Path) -> list[Path]:
    """Parquet files below it, except what writers leave behind (`_temporary`, `.part`)."""
    names = glob.glob("**/*.parquet", root_dir=directory, recursive=True)  # noqa: PTH207
    kept = [n for n in names if not any(part.startswith("_") for part in Path(n).parts)]
    return sorted(directory / name for name in kept if (directory / name).is_file())


def _near(path: Path) -> str:
    if not path.parent.is_dir():
        return f" Neither does the directory {path.parent}"
    names = sorted(p.name for p in path.parent.glob("*.parquet"))
    listed = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return did_you_mean(path.name, names) or (f" Beside it: {listed}" if names else "")


def _open(path: Path):
    import pyarrow.parquet as pq

    return pq.ParquetFile(path, buffer_size=READ_BYTES, pre_buffer=False)


@contextmanager
def _reading(path: Path, kind: type[RolloutError] = RolloutError) -> Iterator[None]:
    """Name the file in whatever reading it raises."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        reason = getattr(error, "strerror", None)  # the system's; Arrow's own have none
        reason = reason or f"it is damaged ({str(error).partition(chr(10))[0]})"
        raise kind(f"{path} cannot be read: {reason}") from error


def _seal(path: Path) -> bytes:
    """16 bytes that change with the file's size or footer. Raises UserError if it has none."""
    with path.open("rb") as file:
        head, size = file.read(512), file.seek(0, 2)
        file.seek(max(0, size - 8))
        tail = file.read()
        length = int.from_bytes(tail[:4], "little")
        if not (size >= 12 and head[:4] == tail[4:] == b"PAR1" and length <= size - 12):
            raise UserError(f"{path} is not a parquet file: {_looks_like(head, path)}")
        file.seek(size - 8 - length)
        return hashlib.blake2b(f"{size}:".encode() + file.read(), digest_size=16).digest()


def _looks_like(head: bytes, path: Path) -> str:
    """What a file that is no parquet seems to be, and what to do about it."""

    def convert(kind: str, reader: str, more: str = "") -> str:
        target = path.with_suffix(".parquet").name
        code = f"pandas.read_{reader}({path.name!r}{more}).to_parquet({target!r})"
        return f"it looks like {kind}; convert it: {code}"

    start = head.lstrip(b"\xef\xbb\xbf \r\n\t")
    signs = {
        b"PAR1": "it is cut off (no footer): its writer or its copy did not finish",
        b"PARE": "it is encrypted",
        b"version https://git-lfs": "it is a Git LFS pointer; type git lfs pull",
        b"{": convert("JSON lines", "json", ", lines=True"),
        b"[": convert("JSON", "json"),
        b"ARROW1": convert("Feather", "feather"),
        b"\x1f\x8b": "it is a gzip file; unpack it",
        b"PK\3\4": "it is a zip file; unpack it",
        b"<": "it looks like a web page; download it again",
    }
    line = start.partition(b"\n")[0]
    if found := [meaning for sign, meaning in signs.items() if start.startswith(sign)]:
        return found[0]
    if b"\0" not in head and (b"," in line or b"\t" in line):
        return convert("CSV", "csv")
    return f"it starts with {head[:12]!r}" if head else "it is empty"


def _unify(one: "pa.Schema", two: "pa.Schema", first: Path, path: Path) -> "pa.Schema":
    """The schema of both files, columns as in the first. Raises UserError where they disagree."""
    import pyarrow as pa

    both = f"the files of data.input disagree: {first} and {path}"
    if odd := sorted(set(one.names) ^ set(two.names)):
        which = first if odd[0] in one.names else path
        raise UserError(f"{both}: only {which.name} has column {odd[0]!r}")
    fields = []
    for field in one:
        other = two.field(field.name)
        merged = _merge(field.type, other.type)
        if merged is None:
            types = f"{_short(field.type)} in one, {_short(other.type)} in the other"
            raise UserError(f"{both}: column {field.name!r} is {types}; write them alike")
        fields.append(field.with_type(merged).with_nullable(field.nullable or other.nullable))
    return pa.schema(fields, one.metadata)


def _merge(one: "pa.DataType", two: "pa.DataType") -> "pa.DataType | None":
    """The type of both, where `null` (all a writer could say of no values) gives way."""
    import pyarrow as pa

    if one == two or pa.types.is_null(two):
        return one
    if pa.types.is_null(one):
        return two
    nested = [pa.types.is_struct, pa.types.is_list, pa.types.is_large_list]
    same = next((is_kind for is_kind in nested if is_kind(one) and is_kind(two)), None)
    pairs = [(one.field(i), two.field(i)) for i in range(one.num_fields)] if same else []
    if not pairs or one.num_fields != two.num_fields:
        return None
    merged = [_merge(a.type, b.type) for a, b in pairs]
    if None in merged or (same is nested[0] and any(a.name != b.name for a, b in pairs)):
        return None
    fields = [
        a.with_type(kind).with_nullable(a.nullable or b.nullable)
        for (a, b), kind in zip(pairs, merged, strict=True)
    ]
    if same is nested[0]:
        return pa.struct(fields)
    return (pa.list_ if same is nested[1] else pa.large_list)(fields[0])


def _check_columns(schema: "pa.Schema", path: Path, data: config.Data) -> None:
    """Refuse an input whose prompt column is missing or can hold no prompt."""
    names, key = schema.names, data.prompt_key
    fit = [name for name in names if _holds(schema.field(name).type) in ("text", "chat")]
    choose = f" Type data.prompt_key={fit[0] if len(fit) == 1 else 'NAME'}"
    if key not in names:
        listed = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
        guess = did_you_mean(key, names)
        raise UserError(f"data.prompt_key={key}: {path} has columns {listed}.{guess}{choose}")
    held = _holds(schema.field(key).type)
    if held not in ("text", "chat", "nothing"):
        held += f"; fitting columns: {', '.join(fit)}.{choose}" if fit else ""
        raise UserError(f"column {key!r} of {path} holds {held}")
    if held == "chat" and data.apply_chat_template is config.Template.never:
        raise UserError(
            f"data.apply_chat_template=never, but column {key!r} holds chats, which only the "
            "template makes text; type data.apply_chat_template=auto"
        )


def _holds(kind: "pa.DataType") -> str:
    """`text`, `chat`, `nothing` (all null), or why the type holds no prompts."""
    import pyarrow as pa

    types = pa.types
    wanted = f"{_short(kind)}, but a prompt is text, or a list of messages with role and content"
    kind = _stored(kind)
    if types.is_null(kind):
        return "nothing"
    if _is_text(kind):
        return "text"
    lists = ("list", "large_list", "fixed_size_list", "list_view", "large_list_view")
    if not any(getattr(types, f"is_{name}")(kind) for name in lists):
        return wanted
    json_typed = isinstance(kind.value_type, pa.BaseExtensionType)
    message = _stored(kind.value_type)
    if types.is_struct(message):
        members = [message.field(i).name for i in range(message.num_fields)]
        if {"role", "content"} <= set(members):
            return "chat"
        return f"messages of {', '.join(members)}, but role and content are needed"
    is_map = types.is_map(message) and _is_text(message.key_type)
    is_json = json_typed and _is_text(message)
    return "chat" if is_map or is_json or types.is_null(message) else wanted


def _stored(kind: "pa.DataType") -> "pa.DataType":
    """The plain type below extension and dictionary types."""
    while hasattr(kind, "storage_type") or hasattr(kind, "index_type"):
        kind = kind.storage_type if hasattr(kind, "storage_type") else kind.value_type
    return kind


def _is_text(kind: "pa.DataType") -> bool:
    from pyarrow import types

    kind = _stored(kind)
    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)


def _short(kind: "pa.DataType") -> str:
    text = str(kind)
    return text if len(text) <= 80 else text[:77] + "..."


def _select(num_rows: int, data: config.Data) -> Sequence[int]:
    """Positions of the rows to answer, ascending."""
    if not num_rows:
        raise UserError(f"data.input={data.input} has no rows")
    if data.offset >= num_rows:
        raise UserError(f"data.offset={data.offset} leaves nothing: the input has {num_rows} rows")
    window = slice(data.offset, None if data.limit is None else data.offset + data.limit)
    if data.shuffle_seed is None:
        return range(num_rows)[window]
    import numpy as np

    return np.sort(np.random.default_rng(data.shuffle_seed).permutation(num_rows)[window])


def _take(batch: "pa.RecordBatch", rows: list[int]) -> "pa.RecordBatch":
    """These ascending rows of a batch."""
    import pyarrow as pa

    if rows[-1] - rows[0] == len(rows) - 1:
        return batch.slice(rows[0], len(rows))
    # Not RecordBatch.take, which has no kernel for view types.
    pieces = [batch.slice(row, 1) for row in rows]
    return pa.Table.from_batches(pieces).combine_chunks().to_batches()[0]


def _conform(batch: "pa.RecordBatch", schema: "pa.Schema") -> "pa.RecordBatch":
    """The batch with the schema's columns, in its order; only null types ever change."""
    import pyarrow as pa

    columns = [batch.column(field.name) for field in schema]
    columns = [
        column if column.type == field.type else column.cast(field.type)
        for column, field in zip(columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _to_python(column: "pa.Array") -> Iterator[Any]:
    """Each row's text, list of messages, or None."""
    import pyarrow as pa

    while isinstance(column, pa.ExtensionArray | pa.DictionaryArray):
        is_extension = isinstance(column, pa.ExtensionArray)
        column = column.storage if is_extension else column.dictionary_decode()
    values = column.to_pylist()
    return iter(values) if _is_text(column.type) else map(_plain, values)


def _plain(value: Any) -> Any:
    """A nested value with maps as dicts, and without the nulls that ragged structs are filled with.

    A null member cannot be told from an absent one, and templates ask whether a key is there.
    """
    if isinstance(value, dict):
        return {key: _plain(member) for key, member in value.items() if member is not None}
    if isinstance(value, list):
        is_map = value and isinstance(value[0], tuple)
        return _plain(dict(value)) if is_map else [_plain(member) for member in value]
    return value


def _parse(text: str) -> Any:
    """The value of a JSON text. Raises ValueError."""
    try:
        value = json.loads(text)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("the prompt's JSON escapes half a surrogate pair") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the prompt starts like JSON but does not parse: {error}") from None
    return value


def _checked(messages: Any) -> list[Message]:
    """The messages, null members dropped. Raises ValueError naming the first that is none."""
    if not messages:
        raise ValueError("the prompt is an empty list of messages")
    checked = []
    for number, message in enumerate(messages, 1):
        if isinstance(message, dict):
            message = {key: member for key, member in message.items() if member is not None}
            if message.get("tool_calls"):
                message.setdefault("content", None)
        if fault := _fault(message):
            raise ValueError(f"message {number} of {len(messages)} {fault}")
        checked.append(message)
    return checked


def _fault(message: Any) -> str | None:
    """What keeps this from being a message. Which roles there are, the chat template decides."""
    if not isinstance(message, dict) or not message:
        return f"is {json.dumps(message, default=str)[:40]}, not a role and content"
    if not isinstance(message.get("role"), str):
        return f"has role {message['role']!r:.40}, not text" if "role" in message else "has no role"
    if "content" not in message:
        return "has no content"
    content = message["content"]
    if isinstance(content, str) or content is None:
        return None
    if not isinstance(content, list) or not content:
        return f"has content {content!r:.40}, which is not text"
    for part in content:
        if not (isinstance(part, dict) and part.get("type") == "text"):
            return f"has content with {part!r:.40}, which is not a text part"
        if not isinstance(part.get("text"), str):
            return "has a text part without text"
    return None

"""Builders of the bad-input corpus: each returns a function that puts files into a directory.

The input is `in.parquet` unless the builder says otherwise.
"""

import base64
import gzip
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq

Build = Callable[[Path], Any]
NAME = "in.parquet"
TEXTS = ["Water boils at", "The capital of France"]
USER = {"role": "user", "content": "Hi"}
MESSAGE = pa.struct([("role", pa.string()), ("content", pa.string())])
MAP = pa.map_(pa.string(), pa.string())
DICTIONARY = pa.dictionary(pa.int32(), pa.string())
PART = pa.struct([("type", pa.string()), ("text", pa.string()), ("image_url", pa.string())])


def table(columns: dict[str, Any], name: str = NAME, **options: Any) -> Build:
    """Write a parquet file of these columns."""

    def build(here: Path) -> None:
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_bytes(stored(columns, **options))

    return build


def prompts(values: Any, kind: pa.DataType | None = None, **options: Any) -> Build:
    """Write a parquet file with only the column `prompt`."""
    return table({"prompt": values if kind is None else pa.array(values, kind)}, **options)


def chats(*messages: list | None, kind: pa.DataType = MESSAGE) -> Build:
    """Write a good chat, then these."""
    return prompts([[USER], *messages], pa.list_(kind))


def json_texts(*texts: object) -> Build:
    """Write a good chat as JSON, then these."""
    return prompts(
        [json.dumps([USER]), *(t if isinstance(t, str) else json.dumps(t) for t in texts)]
    )


def beside(columns: dict[str, Any], **options: Any) -> Build:
    """Write three good prompts, and columns that must come back unchanged."""
    return table({"prompt": ["a", "b", "c"], **columns}, **options)


def raw(data: bytes, name: str = NAME) -> Build:
    """Write any bytes to a file with a parquet name."""
    return lambda here: (here / name).write_bytes(data)


def both(*builds: Build) -> Build:
    def build(here: Path) -> None:
        for one in builds:
            one(here)

    return build


def made(*names: str) -> Build:
    """Write good prompts under each of these names; with a slash at the end, a directory."""

    def build(here: Path) -> None:
        for name in names:
            if name.endswith("/"):
                (here / name).mkdir(parents=True)
            else:
                table({"prompt": TEXTS}, name)(here)

    return build


good = made(NAME)


def nothing(here: Path) -> None:
    pass


def link(name: str, target: str) -> Build:
    return lambda here: (here / name).symlink_to(target)


def fifo(name: str) -> Build:
    return lambda here: os.mkfifo(here / name)


def stored(columns: dict[str, Any], **options: Any) -> bytes:
    """Return the bytes of a parquet file."""
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, **options)
    return sink.getvalue()


def footer_bytes(data: bytes) -> int:
    return int.from_bytes(data[-8:-4], "little")


def changed(data: bytes, place: int, new: bytes) -> bytes:
    return data[:place] + new + data[place + len(new) :]


def cut(share: float) -> Build:
    data = stored({"prompt": TEXTS * 50})
    return raw(data[: int(len(data) * share)])


def flipped_footer(here: Path) -> None:
    """Invert every byte of the schema."""
    data = stored({"prompt": TEXTS})
    start = len(data) - 8 - footer_bytes(data)
    (here / NAME).write_bytes(changed(data, start, bytes(b ^ 0xFF for b in data[start:][:40])))


def flipped_page(**options: Any) -> Build:
    """Invert one bit of the first data page."""

    def build(here: Path) -> None:
        data = stored({"prompt": [f"question {i}" for i in range(99)]}, **options)
        (here / NAME).write_bytes(changed(data, 200, bytes([data[200] ^ 4])))

    return build


def lost_page(here: Path) -> None:
    """Overwrite all bytes of the first data page."""
    data = stored({"prompt": [f"question {i}" * 9 for i in range(99)]})
    (here / NAME).write_bytes(changed(data, 4, b"\xff" * 300))


def _varint(number: int) -> bytes:
    """Return a zigzag integer of thrift's compact protocol."""
    number, out = number << 1, b""
    while number > 0x7F:
        out, number = out + bytes([number & 0x7F | 0x80]), number >> 7
    return out + bytes([number])


def fewer_rows_than_the_footer_says(here: Path) -> None:
    data = stored({"prompt": [f"question {i}" for i in range(1000)]}, row_group_size=1000)
    start = len(data) - 8 - footer_bytes(data)
    footer = data[start:-8].replace(_varint(1000), _varint(1001))
    (here / NAME).write_bytes(data[:start] + footer + data[-8:])


def a_row_group_of_fewer_rows_than_the_file(here: Path) -> None:
    data = stored({"prompt": [f"question {i}" for i in range(1000)]}, row_group_size=1000)
    start = len(data) - 8 - footer_bytes(data)
    footer = data[start:-8].replace(_varint(1000), _varint(1001), 1)  # the row count in the footer
    (here / NAME).write_bytes(data[:start] + footer + data[-8:])


def renamed_bytes(old: bytes, new: bytes, columns: dict[str, Any]) -> Build:
    """Write a file with `old` replaced by `new` in its bytes, as another program might."""
    return raw(stored(columns, store_schema=False, compression="none").replace(old, new))


def encrypted(columns: list[str], plaintext_footer: bool) -> Build:
    """Encrypt with pyarrow; the keys are the columns'."""

    def build(here: Path) -> None:
        import pyarrow.parquet.encryption as encryption

        class Keys(encryption.KmsClient):
            def __init__(self, config):
                super().__init__()

            def wrap_key(self, key, name):
                return base64.b64encode(key)

        how = encryption.EncryptionConfiguration(
            footer_key="f", column_keys={"c": columns}, plaintext_footer=plaintext_footer
        )
        factory, connection = encryption.CryptoFactory(Keys), encryption.KmsConnectionConfig()
        keys = factory.file_encryption_properties(connection, how)
        rows = pa.table({"prompt": TEXTS, "x": [1, 2]})
        with pq.ParquetWriter(here / NAME, rows.schema, encryption_properties=keys) as writer:
            writer.write_table(rows)

    return build


def no_row_groups(here: Path) -> None:
    pq.ParquetWriter(here / NAME, pa.schema([("prompt", pa.string())])).close()


def feather(here: Path) -> None:
    pyarrow.feather.write_feather(pa.table({"prompt": TEXTS}), str(here / NAME))


def arrow_stream(here: Path) -> None:
    rows = pa.table({"prompt": TEXTS})
    with pa.ipc.new_stream(str(here / NAME), rows.schema) as writer:
        writer.write_table(rows)


def zipped(here: Path) -> None:
    with zipfile.ZipFile(here / NAME, "w") as archive:
        archive.writestr("prompts.csv", "prompt\nHi\n")


gzipped = raw(gzip.compress(b"prompt\nHi\n"))


def two_columns(name: str) -> Build:
    rows = pa.Table.from_arrays([pa.array(TEXTS)] * 2, [name, name])
    return lambda here: pq.write_table(rows, here / NAME)


def raw_strings(*values: bytes | None, kind: pa.DataType | None = None) -> pa.Array:
    """Return a column of text with unchecked bytes."""
    kind = kind or pa.string()
    if pa.types.is_dictionary(kind):
        places = pa.array(range(len(values)), kind.index_type)
        return pa.DictionaryArray.from_arrays(places, raw_strings(*values))
    stored = pa.array(values, pa.large_binary() if pa.types.is_large_string(kind) else pa.binary())
    return pa.Array.from_buffers(kind, len(values), stored.buffers())


def of_storage(kind: pa.BaseExtensionType, values: list) -> pa.Array:
    """Return a column of an extension type."""
    return pa.ExtensionArray.from_storage(kind, pa.array(values, kind.storage_type))


def raw_chats(*contents: bytes) -> pa.Array:
    """Return chats of one user message each, with unchecked content."""
    role = pa.array(["user"] * len(contents))
    messages = pa.StructArray.from_arrays([role, raw_strings(*contents)], ["role", "content"])
    return pa.ListArray.from_arrays(list(range(len(contents) + 1)), messages)


def pandas_file(frame: Callable[[Any], Any]) -> Build:
    def build(here: Path) -> None:
        import pandas

        frame(pandas).to_parquet(here / NAME)

    return build


def row_groups(*columns: dict[str, Any]) -> Build:
    """Write one row group per table, as a writer that appends does."""

    def build(here: Path) -> None:
        tables = [pa.table(c) for c in columns]
        with pq.ParquetWriter(here / NAME, tables[0].schema) as writer:
            for rows in tables:
                writer.write_table(rows)

    return build

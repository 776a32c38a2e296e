"""Parquet files of prompts for tests, and the results of reading them."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rollout.config.sections.data import Data, PromptFormat
from rollout.errors import UserError
from rollout.inputs.prompts import open_prompts

TEXTS = ["Water boils at", "  spaces stay  ", "Zoë 🙂\nline"]
CHATS = [
    [{"role": "user", "content": "Hi"}],
    [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi", "name": "Zoë"}],
]
MESSAGE = pa.struct([("role", pa.string()), ("content", pa.string())])
JSON = PromptFormat.json


def write(path: Path, column=None, **columns) -> str:
    if column is not None:
        columns["prompt"] = column
    pq.write_table(pa.table(columns), path)
    return str(path)


def make(values, kind):
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, pa.array(values, kind.storage_type))
    if pa.types.is_dictionary(kind):
        return pa.array(values, kind.value_type).dictionary_encode().cast(kind)
    return pa.array(values, kind)


def read(path, **data):
    return list(open_prompts(Data(input=str(path), **data)))


def contents(path, **data):
    return [prompt.content for prompt in read(path, **data)]


def errors(tmp_path, column, **data):
    return [p.error for p in read(write(tmp_path / "in.parquet", column), **data)]


def error_of(tmp_path, column, key, **data):
    """Return the rows' errors with a setting such as `data.sampling_key` set to `key`."""
    count = len(column)
    path = write(tmp_path / "in.parquet", ["Hi"] * count, **{key: column})
    return [prompt.error for prompt in read(path, **data)]


def refusal(path, start_dir=None, **data) -> str:
    with pytest.raises(UserError) as caught:
        open_prompts(Data(input=None if path is None else str(path), **data), start_dir)
    assert "\n" not in str(caught.value)
    return str(caught.value)

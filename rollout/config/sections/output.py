"""`output.`: what is written."""

import typing
from dataclasses import dataclass
from enum import Enum

from rollout.config.schema import ABOUT, setting


class Layout(Enum):
    per_prompt = "per_prompt"
    per_sample = "per_sample"


@dataclass(kw_only=True, slots=True)
class Output:
    """What is written."""

    kind: typing.ClassVar[str] = ABOUT
    path: str | None = setting(
        None, "the published file; null: output.parquet, or output/, in run_dir"
    )
    columns: list[str] = setting(
        ["finish_reason", "num_response_tokens", "num_prompt_tokens", "is_reasoning_closed"],
        "columns added beside responses and error",
    )
    reasoning_parser: str | None = setting(
        None,
        "vLLM's parser, such as qwen3, that splits off the reasoning; null: the model's tags",
    )
    prefix: str = setting("", "put before the name of every column added")
    layout: Layout = setting(
        Layout.per_prompt, "a row for each prompt, with lists; or per_sample: for each response"
    )
    partition_rows: int | None = setting(
        None, "output.path is a directory, output/, of files of at most so many rows", minimum=1
    )
    overwrite: bool = setting(False, "replace what already stands at output.path")

"""`output.`: the published output."""

import typing
from dataclasses import dataclass
from enum import Enum

from rollout.config.schema import ABOUT, setting


class Layout(Enum):
    per_prompt = "per_prompt"
    per_sample = "per_sample"


@dataclass(kw_only=True, slots=True)
class Output:
    """The published output."""

    kind: typing.ClassVar[str] = ABOUT
    path: str | None = setting(
        None, "file or s3://...; null: output.parquet, or output/, in run_dir"
    )
    columns: list[str] = setting(
        ["finish_reason", "num_response_tokens", "num_prompt_tokens", "is_reasoning_closed"],
        "columns added beside responses and error",
    )
    reasoning_parser: str | None = setting(
        None, "vLLM's reasoning parser, such as qwen3; null: split at model.reasoning_tags"
    )
    prefix: str = setting("", "prefix for the name of every column added")
    layout: Layout = setting(
        Layout.per_prompt, "per_prompt: a row per prompt, with lists; per_sample: per response"
    )
    partition_rows: int | None = setting(
        None, "make output.path a directory of files of at most this many rows", minimum=1
    )
    overwrite: bool = setting(False, "replace an existing output.path")

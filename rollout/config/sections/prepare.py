"""`prepare.`: the settings of python -m rollout.prepare, also available in a run."""

import typing
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from rollout.config.schema import ABOUT, setting


class FileFormat(Enum):
    auto = "auto"
    jsonl = "jsonl"
    json = "json"
    csv = "csv"
    tsv = "tsv"
    parquet = "parquet"
    arrow = "arrow"


class MadeOf(Enum):
    chat = "chat"
    text = "text"


class LastAnswer(Enum):
    auto = "auto"
    keep = "keep"
    drop = "drop"


class OnBadRow(Enum):
    fail = "fail"
    skip = "skip"


@dataclass(kw_only=True, slots=True)
class Destination:
    """Where the prompts go."""

    path: str | None = setting(
        None, "parquet file to write; null in a run: prompts.parquet in run_dir"
    )
    overwrite: bool = setting(False, "replace an existing file")


@dataclass(kw_only=True, slots=True)
class Prepare:
    """How a file of prompts is made. Without a source none is."""

    kind: typing.ClassVar[str] = ABOUT
    source: str | None = setting(
        None, "file, glob, directory, hub dataset (ORG/NAME), or reasoning_gym"
    )
    format: FileFormat = setting(FileFormat.auto, "format of the files; auto: by their extension")
    split: str | None = setting(None, "split of a datasets directory or hub dataset")
    subset: str | None = setting(None, "configuration of a hub dataset")
    revision: str | None = setting(None, "branch, tag or commit of a hub dataset")
    task: str | None = setting(None, "reasoning_gym: a task's name, or several: [a,b]")
    task_config: dict[str, Any] = setting(
        {}, "reasoning_gym: the task's own settings; below a task's name: for that task only"
    )
    size: int = setting(500, "reasoning_gym: problems per task", minimum=1)
    seed: int = setting(42, "seed of reasoning_gym, shuffle, sample and splits", minimum=0)
    template: str | None = setting(
        None, "Jinja file or text that makes each prompt from a row's columns"
    )
    prompt_column: str | None = setting(
        None, "without a template: column of strings or chats; null: prompt_key's column"
    )
    system: str | None = setting(None, "system message: Jinja file or text")
    few_shot: str | None = setting(None, "file of few-shot examples for each prompt")
    few_shot_answer: str = setting("{{ answer }}", "Jinja file or text of an example's answer")
    num_few_shot: int | None = setting(
        None, "number of examples, from the first; null: all", minimum=1
    )
    prompt_format: MadeOf = setting(MadeOf.chat, "chat: a list of messages; text: one string")
    last_answer: LastAnswer = setting(
        LastAnswer.auto,
        "a final assistant message: keep or drop it; auto: keep, but refuse ShareGPT",
    )
    prompt_key: str = setting("prompt", "column to write the prompts to")
    filter: str | None = setting(
        None, "Jinja expression over a row's columns; keep the rows where it is true"
    )
    deduplicate: bool = setting(False, "of rows with equal prompts, keep the first")
    sample: int | None = setting(None, "number of rows to pick at random", minimum=1)
    shuffle: bool = setting(False, "put the rows in random order")
    limit: int | None = setting(None, "maximum number of rows to write", minimum=1)
    keep: list[str] = setting([], "columns to write beside the prompt; empty: all")
    rename: dict[str, Any] = setting({}, "new name: the column's name in the source")
    splits: dict[str, Any] = setting(
        {}, "name: share of the rows, such as train: 0.9, test: 0.1; one file each"
    )
    on_error: OnBadRow = setting(OnBadRow.fail, "a bad row: fail, or skip and count it")
    preview: bool = setting(False, "show prompts and counts, write nothing")
    output: Destination = field(default_factory=Destination)

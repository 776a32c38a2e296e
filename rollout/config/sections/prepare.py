"""The settings of python -m rollout.prepare; in a run, the section `prepare`."""

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

    path: str | None = setting(None, "parquet file to write; null in a run: prompts.parquet there")
    overwrite: bool = setting(False, "replace a file that already stands there")


@dataclass(kw_only=True, slots=True)
class Prepare:
    """How a file of prompts is made; without a source none is."""

    kind: typing.ClassVar[str] = ABOUT
    source: str | None = setting(
        None, "file, glob, directory, hub dataset (ORG/NAME), or reasoning_gym"
    )
    format: FileFormat = setting(FileFormat.auto, "of the files; auto: by their extension")
    split: str | None = setting(None, "split of a datasets directory or hub dataset")
    subset: str | None = setting(None, "configuration of a hub dataset")
    revision: str | None = setting(None, "branch, tag or commit of a hub dataset")
    task: str | None = setting(None, "reasoning_gym: a task's name, or several: [a,b]")
    task_config: dict[str, Any] = setting(
        {}, "reasoning_gym: settings of the task, by its names; below a task's name: its own"
    )
    size: int = setting(500, "reasoning_gym: problems of each task", minimum=1)
    seed: int = setting(42, "of reasoning_gym, shuffle, sample and splits", minimum=0)
    template: str | None = setting(
        None, "Jinja file, or text, that makes each prompt from a row's columns"
    )
    prompt_column: str | None = setting(
        None, "without a template: column of strings or chats; null: that of prompt_key"
    )
    system: str | None = setting(None, "system message: Jinja file, or text")
    few_shot: str | None = setting(None, "file of examples, put before each prompt")
    few_shot_answer: str = setting("{{ answer }}", "Jinja file, or text: an example's answer")
    num_few_shot: int | None = setting(None, "examples taken, from the first; null: all", minimum=1)
    prompt_format: MadeOf = setting(MadeOf.chat, "chat: a list of messages; text: one string")
    last_answer: LastAnswer = setting(
        LastAnswer.auto,
        "an assistant's message at the end: keep it, or drop it; auto: ShareGPT must say which",
    )
    prompt_key: str = setting("prompt", "column that the prompts are written to")
    filter: str | None = setting(
        None, "Jinja expression over a row's columns; rows where it is false are left out"
    )
    deduplicate: bool = setting(False, "keep the first of rows whose prompts are equal")
    sample: int | None = setting(None, "rows to take at random, of all", minimum=1)
    shuffle: bool = setting(False, "put the rows in random order")
    limit: int | None = setting(None, "rows to write at most", minimum=1)
    keep: list[str] = setting([], "columns written beside the prompt; empty: all")
    rename: dict[str, Any] = setting({}, "new name: the column's name in the source")
    splits: dict[str, Any] = setting(
        {}, "name: share of the rows, such as train: 0.9, test: 0.1; one file each"
    )
    on_error: OnBadRow = setting(OnBadRow.fail, "a bad row ends it, or is skipped and counted")
    preview: bool = setting(False, "show prompts and counts, write nothing")
    output: Destination = field(default_factory=Destination, metadata={"help": "the prompts"})

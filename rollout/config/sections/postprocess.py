"""`postprocess.`: the settings of python -m rollout.postprocess, also available in a run."""

import typing
from dataclasses import dataclass, field
from enum import Enum

from rollout.config.schema import ABOUT, setting
from rollout.config.sections.export import Estimate, Export, Select


class Which(Enum):
    first = "first"
    last = "last"


class AnswerIs(Enum):
    """What the list in an answer column means."""

    one = "one"
    any = "any"
    all = "all"


class NumbersAre(Enum):
    """What a number in the answer column means for scorer=choice."""

    positions_from_zero = "positions_from_zero"
    positions_from_one = "positions_from_one"
    labels = "labels"


@dataclass(kw_only=True, slots=True)
class Destination:
    """Where the scored rows go."""

    path: str | None = setting(
        None, "parquet file to write; null in a run: scored.parquet in run_dir"
    )
    overwrite: bool = setting(False, "replace an existing file")


@dataclass(kw_only=True, slots=True)
class Exact:
    """scorer=exact: the response equals the answer."""

    ignore_case: bool = setting(False, "ignore upper and lower case")
    ignore_punctuation: bool = setting(False, "ignore punctuation")
    ignore_space: bool = setting(True, "strip space at the ends; runs of it count as one")


@dataclass(kw_only=True, slots=True)
class Choice:
    """scorer=choice: one letter of several."""

    letters: str = setting("ABCDEFGHIJ", "the letters or digits to choose from, in order")
    numbers_are: NumbersAre | None = setting(
        None,
        "what a number as the answer means; null: integers count from 0, text of digits is refused",
    )


@dataclass(kw_only=True, slots=True)
class Regex:
    """scorer=regex: the text that a pattern matches."""

    pattern: str | None = setting(None, "Python regex; its first group, if any, is the answer")
    which: Which = setting(Which.last, "use the first or the last match")
    ignore_case: bool = setting(False, "ignore upper and lower case")
    match_only: bool = setting(False, "any match scores 1, without comparing to an answer")


@dataclass(kw_only=True, slots=True)
class JsonSchema:
    """scorer=json_schema: the response is JSON that matches a schema."""

    schema: str | None = setting(None, "JSON schema: a file, or the schema itself")
    schema_key: str | None = setting(None, "column with each row's schema, as JSON text")
    fences: bool = setting(True, "accept JSON between ``` fences")


@dataclass(kw_only=True, slots=True)
class Gym:
    """scorer=reasoning_gym: the task's own verifier."""

    entry_key: str = setting("reasoning_gym_entry", "column with the entry, as JSON text")


@dataclass(kw_only=True, slots=True)
class Code:
    """scorer=code: the program in a response is run against the row's tests."""

    allow: bool = setting(False, "allow running the model's code: contained, but not sandboxed")
    tests_key: str = setting(
        "tests", "column with the tests: asserts, check(), unittest, pytest, or pairs"
    )
    memory_gib: float = setting(1.0, "memory limit of a program, in GiB", above=0)
    output_mib: float = setting(1.0, "output limit of a program, in MiB", above=0)


@dataclass(kw_only=True, slots=True)
class Function:
    """scorer=python: your own function."""

    function: str | None = setting(None, "module:function or file.py:function")


@dataclass(kw_only=True, slots=True)
class Postprocess:
    """How responses are scored, selected and exported. Without a scorer none are."""

    kind: typing.ClassVar[str] = ABOUT
    input: str | None = setting(None, "output.parquet of a run; null in a run: its own output")
    scorer: str | None = setting(
        None, "math, reasoning_gym, exact, choice, regex, json_schema, code or python"
    )
    answer_key: str | None = setting(
        None, "column with the ground truth; null: answer, if the scorer needs one"
    )
    answer_is: AnswerIs = setting(
        AnswerIs.one, "one answer; for columns of lists, any: each is right; all: together"
    )
    responses_key: str = setting("responses", "column with each row's responses")
    after: str = setting("</think>", "score the text after the last of these; empty: all of it")
    pass_threshold: float = setting(1.0, "a sample passes from this score on", minimum=0)
    prefix: str = setting("", "prefix for the name of every column added")
    workers: int | None = setting(None, "scoring processes; null: one per core", minimum=1)
    timeout_s: float = setting(10.0, "seconds to score a response; a slower one has none", above=0)
    memory_gib: float = setting(4.0, "memory limit of a worker, in GiB", above=0)
    prompt_key: str = setting("prompt", "column with the prompts, for exports")
    output: Destination = field(default_factory=Destination)
    estimate: Estimate = field(default_factory=Estimate)
    select: Select = field(default_factory=Select)
    export: Export = field(default_factory=Export)
    exact: Exact = field(default_factory=Exact)
    choice: Choice = field(default_factory=Choice)
    regex: Regex = field(default_factory=Regex)
    json_schema: JsonSchema = field(default_factory=JsonSchema)
    reasoning_gym: Gym = field(default_factory=Gym)
    code: Code = field(default_factory=Code)
    python: Function = field(default_factory=Function)

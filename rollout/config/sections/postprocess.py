"""The settings of python -m rollout.postprocess; in a run, the section `postprocess`."""

import typing
from dataclasses import dataclass, field
from enum import Enum

from rollout.config.schema import ABOUT, setting
from rollout.config.sections.export import Estimate, Export, Select


class Which(Enum):
    first = "first"
    last = "last"


class AnswerIs(Enum):
    """What the values of an answer column of lists are."""

    one = "one"
    any = "any"
    all = "all"


class NumbersAre(Enum):
    """What a number in the answer column means to scorer=choice."""

    positions_from_zero = "positions_from_zero"
    positions_from_one = "positions_from_one"
    labels = "labels"


@dataclass(kw_only=True, slots=True)
class Destination:
    """Where the scored rows go."""

    path: str | None = setting(None, "parquet file to write; null in a run: scored.parquet there")
    overwrite: bool = setting(False, "replace a file that already stands there")


@dataclass(kw_only=True, slots=True)
class Exact:
    """scorer=exact: the response is the answer, word for word."""

    ignore_case: bool = setting(False, "upper and lower case are one")
    ignore_punctuation: bool = setting(False, "leave punctuation out")
    ignore_space: bool = setting(True, "leave space at the ends out; runs of it count as one")


@dataclass(kw_only=True, slots=True)
class Choice:
    """scorer=choice: a letter out of several."""

    letters: str = setting("ABCDEFGHIJ", "the letters, or digits, that may be chosen, in order")
    numbers_are: NumbersAre | None = setting(
        None,
        "what a number as the answer means; null: integers count from 0, text of digits is refused",
    )


@dataclass(kw_only=True, slots=True)
class Regex:
    """scorer=regex: what a pattern finds."""

    pattern: str | None = setting(None, "Python pattern; its first group, if any, is the answer")
    which: Which = setting(Which.last, "the first or the last place where it matches")
    ignore_case: bool = setting(False, "upper and lower case are one")
    match_only: bool = setting(False, "a match scores 1, whatever it finds: nothing is compared")


@dataclass(kw_only=True, slots=True)
class JsonSchema:
    """scorer=json_schema: the response is JSON that a schema allows."""

    schema: str | None = setting(None, "JSON schema: a file, or the schema itself")
    schema_key: str | None = setting(None, "column that holds each row's schema, as JSON text")
    fences: bool = setting(True, "JSON between ``` fences will do")


@dataclass(kw_only=True, slots=True)
class Gym:
    """scorer=reasoning_gym: the task's own verifier."""

    entry_key: str = setting("reasoning_gym_entry", "column with the entry as JSON text")


@dataclass(kw_only=True, slots=True)
class Code:
    """scorer=code: the program in a response is run against the row's tests."""

    allow: bool = setting(False, "run what the model wrote: contained, but no sandbox")
    tests_key: str = setting(
        "tests", "column with the tests: asserts, check(), unittest, pytest, or pairs"
    )
    memory_gib: float = setting(1.0, "memory one program may take, in GiB", above=0)
    output_mib: float = setting(1.0, "most that one program may print, in MiB", above=0)


@dataclass(kw_only=True, slots=True)
class Function:
    """scorer=python: a function of yours."""

    function: str | None = setting(None, "module:function or file.py:function")


@dataclass(kw_only=True, slots=True)
class Postprocess:
    """How responses are scored, counted, chosen and handed over; without a scorer none are."""

    kind: typing.ClassVar[str] = ABOUT
    input: str | None = setting(None, "output.parquet of a run; null in a run: its own")
    scorer: str | None = setting(
        None, "math, reasoning_gym, exact, choice, regex, json_schema, code or python"
    )
    answer_key: str | None = setting(
        None, "column with the right answer; null: answer, where the scorer needs one"
    )
    answer_is: AnswerIs = setting(
        AnswerIs.one, "one answer; where the column holds lists, any: each is right; all: together"
    )
    responses_key: str = setting("responses", "column with each row's responses")
    after: str = setting("</think>", "score what follows the last of these; empty: all of it")
    pass_threshold: float = setting(1.0, "score from which a sample counts as passed", minimum=0)
    prefix: str = setting("", "put before the name of every column added")
    workers: int | None = setting(None, "processes that score; null: one a core", minimum=1)
    timeout_s: float = setting(10.0, "seconds one response may take; then it has no score", above=0)
    memory_gib: float = setting(4.0, "memory one worker may take, in GiB", above=0)
    prompt_key: str = setting("prompt", "column with the prompts, for exports")
    output: Destination = field(default_factory=Destination, metadata={"help": "the scored rows"})
    estimate: Estimate = field(default_factory=Estimate, metadata={"help": "pass@k"})
    select: Select = field(default_factory=Select, metadata={"help": "what is exported"})
    export: Export = field(default_factory=Export, metadata={"help": "a training file"})
    exact: Exact = field(default_factory=Exact, metadata={"help": "scorer=exact"})
    choice: Choice = field(default_factory=Choice, metadata={"help": "scorer=choice"})
    regex: Regex = field(default_factory=Regex, metadata={"help": "scorer=regex"})
    json_schema: JsonSchema = field(
        default_factory=JsonSchema, metadata={"help": "scorer=json_schema"}
    )
    reasoning_gym: Gym = field(default_factory=Gym, metadata={"help": "scorer=reasoning_gym"})
    code: Code = field(default_factory=Code, metadata={"help": "scorer=code"})
    python: Function = field(default_factory=Function, metadata={"help": "scorer=python"})

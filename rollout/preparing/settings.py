"""The settings of python -m rollout.prepare; in a run, the section `prepare`."""

import typing
from dataclasses import dataclass, field

from rollout.schema import ABOUT, setting


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
    output: Destination = field(default_factory=Destination, metadata={"help": "the prompts"})

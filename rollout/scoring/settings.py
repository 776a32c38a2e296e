"""The settings of python -m rollout.postprocess; in a run, the section `postprocess`."""

import typing
from dataclasses import dataclass, field

from rollout.schema import ABOUT, setting


@dataclass(kw_only=True, slots=True)
class Destination:
    """Where the scored rows go."""

    path: str | None = setting(None, "parquet file to write; null in a run: scored.parquet there")
    overwrite: bool = setting(False, "replace a file that already stands there")


@dataclass(kw_only=True, slots=True)
class Postprocess:
    """How responses are scored, counted, chosen and handed over; without a scorer none are."""

    kind: typing.ClassVar[str] = ABOUT
    input: str | None = setting(None, "output.parquet of a run; null in a run: its own")
    scorer: str | None = setting(None, "what marks a response")
    output: Destination = field(default_factory=Destination, metadata={"help": "the scored rows"})

"""The sample browser's rows: all of a file or a run, or a subset drawn with a fixed seed.

Guarantees: the same rows give the same subset, in input order; what is left out is said. Memory is
bounded by what is shown. Must not know how the browser is drawn.
"""

from collections.abc import Collection
from pathlib import Path

from rollout.report.page import Browser

MAX_SAMPLES = 5_000
MAX_BYTES = 5_000_000  # of the texts as JSON, escaped for a page
SEED = 42


def browser_of_run(run_dir: Path, must_have: Collection[int] = ()) -> Browser:
    """Return a run's rows: of its scored file, else its output, else those finished so far.

    `must_have` are rows by their number, the position in the input (the shards' column `row`),
    that are shown in any case. Raises UserError or RolloutError if the rows can't be read; prompts
    that can't be read are said to be so.
    """
    raise NotImplementedError


def browser_of_file(
    path: Path,
    must_have: Collection[int] = (),
    *,
    responses_key: str | None = None,
    prompt_key: str | None = None,
    prefix: str | None = None,
) -> Browser:
    """Return the rows of a published or scored file, or of a directory of them, in any layout.

    A row's number is its position in the file, or the column `row` with one row per sample.
    `prefix` is that of the columns that a scoring added; None: found by their names. Raises
    UserError if there is no column of responses, and RolloutError if the file can't be read.
    """
    raise NotImplementedError

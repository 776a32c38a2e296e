"""The page of a parquet file alone: scored, or with responses only."""

from pathlib import Path

from rollout.report.page import Page


def page_of_scored(
    path: Path,
    *,
    responses_key: str | None = None,
    prompt_key: str | None = None,
    prefix: str | None = None,
) -> Page:
    """Return the page of a file with responses, with its scores if it has some.

    Raises UserError if there is no such file or no column of responses, and says what to type.
    """
    raise NotImplementedError

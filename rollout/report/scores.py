"""The sections and figures of a scored file: pass@k, verdicts, and length against pass rate."""

from pathlib import Path

from rollout.report.page import Figure, Section


def score_figure(path: Path, *, prefix: str | None = None) -> Figure | None:
    """Return pass@1 of a scored file with its interval; None if the file has no scores."""
    raise NotImplementedError


def score_figures(path: Path, *, prefix: str | None = None) -> list[Figure]:
    """Return pass@1, the largest pass@k and the share of judged samples; [] without scores."""
    raise NotImplementedError


def score_sections(
    path: Path, *, prefix: str | None = None, responses_key: str | None = None
) -> list[Section]:
    """Return the sections of a scored file or directory of files; [] without scores.

    `prefix` is that of the columns that the scoring added; None: found by their names.
    """
    raise NotImplementedError

"""The page of a parquet file alone: scored, or with responses only."""

import shlex
from dataclasses import replace
from pathlib import Path

from rollout.report.foreign_scores import foreign_scores
from rollout.report.page import Block, Page, Section
from rollout.report.published_rows import PublishedRows
from rollout.report.responses import (
    Responses,
    length_chart,
    read_responses,
    reason_table,
    response_facts,
    response_figures,
)
from rollout.report.samples import browser_of_rows, rows_of_file
from rollout.report.scored_rows import Scores, read_scores
from rollout.report.scores import figures_from, sections_from
from rollout.rows.reasoning import TAGS
from rollout.system.terminal import counted


def page_of_scored(path: Path, **keys: str) -> Page:
    """Return the page of a file, or a directory of files, with its scores if it has some.

    `keys` are those of `rows_of_file`, and so are the errors.
    """
    typed = [f"{key}={value}" for key, value in keys.items()]
    rows = rows_of_file(path, **keys)
    responses, scores = read_responses(rows), None
    if rows.columns.is_scored:
        scores = read_scores(rows, path)
    browser = browser_of_rows(rows, (), TAGS, f"{path.name} has all")
    if scores:
        browser = replace(browser, errors_fail=scores.everything.errors_fail)
    found = sections_from(scores) if scores else foreign_scores(path, rows)
    sections = [*found, _response_section(responses)]
    return Page(
        path.name,
        _subtitle(path, rows, scores, typed),
        *_verdict(responses, scores),
        figures=[*(figures_from(scores) if scores else []), *response_figures(responses)][:5],
        sections=[*sections, Section("Samples", [browser])],
    )


def _subtitle(
    path: Path, rows: PublishedRows, scores: Scores | None, typed: list[str]
) -> list[str]:
    columns = rows.columns
    what = f"column {columns.responses!r}, {counted(rows.num_rows, 'row')}"
    what += ", one row per sample" if columns.is_per_sample else ""
    if scores is not None:
        prefix = columns.score_prefix
        what += ", scored" + (f" (columns with the prefix {prefix!r})" if prefix else "")
    command = shlex.join(["python", "-m", "rollout.report", str(path), *typed])
    return [f"file: {path}", what, f"made by: {command}"]


def _verdict(found: Responses, scores: Scores | None) -> tuple[str, str]:
    """Return one sentence on the file as a whole, and its style."""
    counts = f"{counted(found.num_samples, 'sample')} of {counted(found.num_rows, 'row')}"
    if not found.num_samples:
        return f"no responses: none of {counted(found.num_rows, 'row')} has one", "bad"
    if scores is None:
        return f"not scored: {counts}", "neutral"
    group = scores.everything
    if not group.num_judged:
        return f"nothing could be judged: none of {counts} is right or wrong", "bad"
    solved = f"{group.solved:,} of {counted(group.num_rows_counted, 'row')} solved at least once"
    return f"scored: {counts}, {solved}", "good"


def _response_section(found: Responses) -> Section:
    blocks: list[Block | None] = [response_facts(found), reason_table(found)]
    if found.tokens is not None:
        blocks.append(length_chart(found.tokens, found.reasons))
    return Section("Responses", [block for block in blocks if block is not None])

"""A run to report on, in the directory x, on the scripted engine; and what its page shows."""

import json
from pathlib import Path

import pandas as pd
from resuming import SCRIPTED

from rollout.report.page import Facts, Note, Page, Section, Table
from rollout.report.run.page import page_of

FAILING = "too " * 5000  # a prompt longer than the scripted engine takes
SLOW = ("engine.scripted.step_s=0.01", "engine.max_num_seqs=16", "tracking.interval_s=0.1")


def write_input(here: Path, prompts: list[str]) -> None:
    pd.DataFrame({"prompt": prompts, "id": range(len(prompts))}).to_parquet(here / "in.parquet")


def questions(count: int, failing: tuple[int, ...] = ()) -> list[str]:
    return [FAILING if i in failing else f"question {i}" for i in range(count)]


def launch(typed, *words: str):
    return typed(*SCRIPTED, "sampling.n_samples=3", *words)


def page(here: Path) -> Page:
    return page_of(here / "x")


def section(page: Page, title: str) -> Section:
    return next(section for section in page.sections if section.title == title)


def titles(page: Page) -> list[str]:
    return [section.title for section in page.sections]


def chart(page: Page, name: str):
    return next(chart for chart in page.charts if chart.name == name)


def tables(section: Section) -> list[Table]:
    return [block for block in section.blocks if isinstance(block, Table)]


def notes(section: Section) -> str:
    return "\n".join(block.text for block in section.blocks if isinstance(block, Note))


def facts(section: Section) -> dict[str, str]:
    return dict(next(block for block in section.blocks if isinstance(block, Facts)).items)


def figure(page: Page, label: str):
    return next(figure for figure in page.figures if figure.label == label)


def brute_force(here: Path) -> dict:
    """Count an output.parquet the plain way."""
    rows = pd.read_parquet(here / "x/output.parquet").to_dict("records")
    texts = [list(row["responses"]) for row in rows]
    reasons = [reason for row in rows for reason in row["finish_reason"]]
    lengths = [int(n) for row in rows for n in row["num_response_tokens"]]
    return {
        "num_rows": len(rows),
        "num_failed": sum(pd.notna(row["error"]) for row in rows),
        "num_samples": sum(map(len, texts)),
        "num_truncated": reasons.count("length"),
        "num_empty": sum(text == "" for row in texts for text in row),
        "num_distinct": sum(len(set(row)) for row in texts),
        "lengths": sorted(zip(reasons, lengths, strict=True)),
    }


def line(at_s: float, **figures) -> str:
    """Return a line of metrics.jsonl."""
    return json.dumps({"elapsed_s": at_s, **figures}) + "\n"

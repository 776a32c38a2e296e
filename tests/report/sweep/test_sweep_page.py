"""A sweep's page as a file: its content, and that text of models stays text in it."""

import time
from html.parser import HTMLParser
from pathlib import Path

import pytest
from scored_sweep import scored_sweep
from sweep_points import FIGURES, SPEED, answered, cells, drawn, point

from rollout.report.charts import Chart, HeatMap
from rollout.report.page import Browser, Code, Table
from rollout.report.sweep import table
from rollout.report.sweep.ranking import rank
from rollout.report.sweep.sections import page_of_sweep
from rollout.report.sweep.table import write_tables
from rollout.sweeps.lines import table_lines

EVIL = "<img src=x onerror=alert(1)><script>alert(1)</script>"
GRID = [
    {"sampling.temperature": t, "sampling.top_p": p} for t in ("0.2", "1") for p in ("0.9", "1")
]


def page(directory: Path, *points, objective=SPEED) -> str:
    assert not write_tables(directory, points, rank(points, objective))
    return (directory / "sweep.html").read_text(encoding="utf-8")


def page_of(directory: Path, points, objective=SPEED):
    return page_of_sweep(directory, points, rank(points, objective))


class Tags(HTMLParser):
    """The tags of a page outside its scripts, and attributes that would run something."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.bad, self.scripts = set(), [], 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.scripts += tag == "script"
        self.bad += [(tag, name) for name, _ in attrs if name.startswith("on") or name == "src"]


def test_hostile_names_values_and_answers_add_no_element(tmp_path):
    clean = answered(tmp_path / "c", ["p"], [["r"]])
    num_scripts = Tags(page(tmp_path, clean)).scripts
    done = answered(tmp_path / "a", [EVIL], [[EVIL, "</script>"]], values={f"x.{EVIL}": EVIL})
    chat = answered(tmp_path / "b", [[{"role": EVIL, "content": EVIL}]], [[EVIL]], name=f'"{EVIL}')
    failed = point(status="failed", error=EVIL, name=EVIL)
    directory = tmp_path / '"><script>'
    directory.mkdir()
    found = Tags(page(directory, done, chat, failed, objective=EVIL))
    assert found.scripts == num_scripts and not found.bad and "img" not in found.tags


def test_half_surrogates_and_control_characters_are_written_out(tmp_path):
    """An error had bytes of a file name, which UTF-8 can't encode."""
    bad = "a\ud800b\x1b[31m\0"
    points = [point(bad, status="failed", error=bad, name=bad, values={"model": bad})]
    text = page(tmp_path, *points)
    assert "a\\ud800b" in text and "\x1b" not in text and "\0" not in text
    assert cells(tmp_path, *points)[0]["error"].startswith("a\\ud800b")
    assert not set("\x1b\0\ud800") & set(
        "".join(table_lines(points, rank(points, SPEED)) + drawn(points))
    )


def test_a_scored_grid_has_every_section_in_order(tmp_path):
    found = page_of(tmp_path, scored_sweep(tmp_path, GRID), "scores.pass@1")
    assert [section.title for section in found.sections] == [
        "Points", "pass@1", "pass@k", "Lengths and diversity",
        "Throughput and memory", "Side by side", "The command",
    ]  # fmt: skip
    kinds = [type(block) for section in found.sections for block in section.blocks]
    assert kinds.count(HeatMap) == 1 and kinds.count(Browser) == 1 and kinds.count(Code) == 1
    names = [chart.name for chart in found.charts]
    assert len(set(names)) == len(names) and names[:2] == ["objective", "objective_map"]


def test_one_point_alone_has_a_table_and_its_answers_but_no_curve_of_keys(tmp_path):
    found = page_of(tmp_path, scored_sweep(tmp_path, GRID[:1]), "scores.pass@1")
    charts = [b.name for s in found.sections for b in s.blocks if isinstance(b, Chart | HeatMap)]
    assert charts == ["pass_at_k"]
    assert found.sections[-2].title == "Side by side"


def test_points_that_have_not_begun_make_a_page_without_charts(tmp_path):
    found = page_of(tmp_path, [point(status="waiting"), point("0.9", status="waiting")])
    assert found.verdict == "2 points: 2 not started" and found.charts == []
    assert "2 not started" in page(tmp_path, point(status="waiting"), point("0.9", "waiting"))
    assert page_of(tmp_path, []).verdict == "no point has begun yet"


def test_refused_and_failed_points_are_rows_with_their_reason(tmp_path):
    points = [point("0.5", speed=3.0, figures=FIGURES), point("-1", "failed", error="too low")]
    found = page_of(tmp_path, points)
    table = next(b for b in found.sections[0].blocks if isinstance(b, Table))
    assert found.verdict_style == "warning" and found.verdict.startswith("2 points: 1 done, 1 fail")
    assert [(row.style, row.detail) for row in table.rows] == [("", ""), ("failed", "too low")]
    assert page_of(tmp_path, points[1:]).verdict_style == "bad"


@pytest.mark.parametrize("error", [ValueError("odd"), OSError(5, "input/output error")])
def test_a_page_that_can_not_be_made_costs_no_table_and_is_said(tmp_path, monkeypatch, error):
    def broken(*_):
        raise error

    monkeypatch.setattr(table, "page_text", broken)
    points = [point(speed=1.0)]
    fault = write_tables(tmp_path, points, rank(points, SPEED))
    assert "sweep.html could not be made" in fault and str(error) in fault
    assert (tmp_path / "sweep.parquet").exists() and (tmp_path / "sweep.csv").exists()
    assert not (tmp_path / "sweep.html").exists()


def test_three_hundred_points_make_a_page_of_a_few_megabytes_in_seconds(tmp_path):
    texts, replies = [f"p {i}" for i in range(100)], [["word " * 200] * 4] * 100
    figures = answered(tmp_path / "a", texts, replies).figures
    points = [
        point(values={"sampling.temperature": f"{i % 20}", "sampling.seed": f"{i // 20}"},
              speed=float(i), figures=FIGURES | figures | {"generate_s": 20.0 + i})
        for i in range(300)
    ]  # fmt: skip
    began = time.process_time()
    text = page(tmp_path, *points)
    assert time.process_time() - began < 10
    assert len(text) < 6_000_000 and "300 points: 300 done" in text

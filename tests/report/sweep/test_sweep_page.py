"""A sweep's page: its content, and that text of models stays text in it."""

from html.parser import HTMLParser
from pathlib import Path

from sweep_points import FIGURES, SPEED, answered, cells, drawn, point

from rollout.report.sweep.ranking import rank
from rollout.report.sweep.table import write_tables
from rollout.sweeps.lines import table_lines

EVIL = "<script>alert(1)</script>"


def page(directory: Path, *points, objective=SPEED) -> str:
    write_tables(directory, points, rank(points, objective, True))
    return (directory / "sweep.html").read_text(encoding="utf-8")


class Page(HTMLParser):
    """Collects the tags of a page, and checks that they are closed in order."""

    VOID = ("meta",)

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.open, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        assert not any(name.startswith("on") or name in ("src", "href") for name, _ in attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_all_text_of_a_sweep_stays_text(tmp_path):
    done = answered(tmp_path / "a", [EVIL], [[EVIL, "<b>"]], values={f"x.{EVIL}": EVIL})
    chat = answered(tmp_path / "b", [[{"role": EVIL, "content": EVIL}]], [[EVIL]], name=f'"{EVIL}')
    failed = point(status="failed", error=EVIL, name=EVIL)
    directory = tmp_path / '"><script>'
    directory.mkdir()
    text = page(directory, done, chat, failed, objective=EVIL)
    assert "<script" not in text.lower() and "<b>" not in text
    assert not {"script", "b"} & set(Page(text).tags)
    assert "".join(Page(text).texts).count(EVIL) >= 9


def test_the_page_loads_and_runs_nothing(tmp_path):
    text = page(tmp_path, answered(tmp_path / "a", ["p"], [["r"]], speed=3.0))
    assert not {"script", "link", "img", "iframe"} & set(Page(text).tags)
    assert "http:" not in text and "https:" not in text and "url(" not in text
    assert "default-src 'none'" in text and "prefers-color-scheme: dark" in text


def test_the_page_counts_marks_the_best_and_shows_failures(tmp_path):
    points = [
        point("0.2", speed=2921.3), point("0.7", speed=3421.0, figures=FIGURES),
        point("1.0", status="failed", error="the engine died"),
    ]  # fmt: skip
    text = page(tmp_path, *points)
    assert "3 points: 2 done, 1 failed" in text
    assert "★ highest sampling.temperature=0.7: output_tokens_per_s 3,421</p>" in text
    assert '<tr class="done best">\n<td class="name">sampling.temperature=0.7 ★</td>' in text
    assert '<td class="name number">3,421</td>' in text
    assert '<td class="name number">3.4%</td>' in text
    assert '<td class="error" colspan="14">the engine died</td>' in text


def test_prompts_have_two_responses_of_each_point_side_by_side(tmp_path):
    texts = [f"prompt {i}" for i in range(20)]
    three = [[f"{i}a\n  b", f"{i}b", f"{i}c"] for i in range(20)]
    text = page(tmp_path, *(answered(tmp_path / n, texts, three, name=n) for n in "xy"))
    assert text.count('<table class="side">') == 8 and "prompt 8" not in text
    assert text.count('<div class="text">0a\n  b</div>') == 2
    assert "7b" in text and "7c" not in text
    assert text.count('<th class="name">x</th>') == 8


def test_a_prompt_is_shown_beside_itself_even_where_rows_were_left_out(tmp_path):
    one = answered(tmp_path / "a", ["p", "q", "q"], [["to p"], ["to q"], ["to q again"]])
    two = answered(tmp_path / "b", ["q", "q"], [["2 to q"], ["2 to q again"]])
    blocks = page(tmp_path, one, two).split("<h3>")[1:]
    assert len(blocks) == 3
    assert "not among its first rows" in next(b for b in blocks if "to p" in b)
    assert all("2 to q" in b for b in blocks if "to p" not in b)
    assert any(">to q again<" in b and ">2 to q again<" in b for b in blocks)


def test_twelve_points_are_side_by_side_and_the_best_is_one_of_them(tmp_path):
    points = [
        answered(tmp_path / f"{i}", ["p"], [[f"reply {i}."]], speed=float(i), name=f"n{i}")
        for i in range(15)
    ]
    text = page(tmp_path, *points)
    side = text.partition("Side by side")[2]
    assert side.count("<th ") == 12 and "3 more points are left out" in side
    assert "reply 14." in side and "reply 10." in side and "reply 11." not in side


def test_long_texts_are_cut_and_empty_ones_marked(tmp_path):
    text = page(tmp_path, answered(tmp_path / "a", ["p" * 5000, "q"], [["r" * 5000, ""], []]))
    assert "r" * 600 + " …" in text and "r" * 601 not in text and "p" * 601 not in text
    assert "(empty)" in text and "no responses" in text


def test_a_page_without_responses_has_no_side_by_side(tmp_path):
    text = page(tmp_path, point(status="waiting"))
    assert "Side by side" not in text and "1 point: 1 waiting" in text
    Page(text)


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

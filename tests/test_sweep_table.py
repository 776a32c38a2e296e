"""A sweep's table: what its files and lines say, and that what models say stays text in them."""

import csv
import time
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.cells import cell_len
from rich.console import Console

from rollout.sweep_lines import MAX_LINES, MAX_LIVE_LINES, live_table, table_lines
from rollout.sweep_page import MAX_ROWS, first_answers
from rollout.sweep_points import Point, is_maximized, objective_of, ranked
from rollout.sweep_ranking import rank
from rollout.sweep_table import write_tables

SPEED = "output_tokens_per_s"
EVIL = "<script>alert(1)</script>"
COLUMNS = [
    "status", "error", "is_best", "differs_from_best", "objective", "engine", "num_rows",
    "num_failed", "num_samples", "num_sharing",
    "output_tokens_per_s", "mean_response_tokens", "p95_response_tokens", "truncated_fraction",
    "distinct_fraction", "generate_s", "load_s", "wall_s", "peak_memory_gib", "run_dir",
    "responses",
]  # fmt: skip
FIGURES = {
    "num_rows": 2, "num_failed": 0, "num_samples": 4, "mean_response_tokens": 123.4,
    "p95_response_tokens": 512, "truncated_fraction": 0.034, "distinct_fraction": 1.0,
    "generate_s": 127.4, "load_s": 18.26, "peak_memory_gib": 12.53,
}  # fmt: skip


def point(temperature="0.7", status="done", speed=None, **more):
    figures = {} if speed is None else {SPEED: speed}
    values = more.pop("values", {"sampling.temperature": temperature})
    figures |= more.pop("figures", {})
    name = more.pop("name", ",".join(f"{k}={v}" for k, v in values.items()))
    return Point(name, values, Path("runs") / "a", status, figures=figures, **more)


def answered(path: Path, prompts, responses, prefix="", prompt_key="prompt", **more):
    """A done point whose published file holds these."""
    pq.write_table(pa.table({prompt_key: prompts, f"{prefix}responses": responses}), path)
    figures = {"output_path": str(path), **more.pop("figures", {})}
    return point(figures=figures, prefix=prefix, prompt_key=prompt_key, **more)


def table(directory: Path, points, objective=SPEED, maximize=True) -> pa.Table:
    write_tables(directory, points, rank(points, objective, maximize))
    return pq.read_table(directory / "sweep.parquet")


def answers(directory: Path, *points):
    return table(directory, points)["responses"].to_pylist()


def page(directory: Path, *points, objective=SPEED) -> str:
    write_tables(directory, points, rank(points, objective, True))
    return (directory / "sweep.html").read_text(encoding="utf-8")


def cells(directory: Path, *points) -> list[dict]:
    write_tables(directory, points, rank(points, SPEED, True))
    with (directory / "sweep.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def drawn(points, progress=None, width=100) -> list[str]:
    console = Console(width=width, height=60, force_terminal=False)
    with console.capture() as capture:
        console.print(live_table(points, progress or {}))
    return capture.get().splitlines()


class Page(HTMLParser):
    """Which tags a page has, and that they are closed in order."""

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


# The best point.


@pytest.mark.parametrize(
    ("key", "value"),
    [("speed", 2.0), ("engine.slots", 3.0), ("engine", None), ("engine.gone", None),
     ("speed.x", None), ("flag", None), ("text", None), ("huge", None)],
)  # fmt: skip
def test_an_objective_is_a_number_under_a_dotted_key_or_nothing(key, value):
    figures = {"speed": 2, "engine": {"slots": 3}, "flag": True, "text": "2", "huge": 10**400}
    assert objective_of(figures, key) == value


def test_the_first_point_is_done_finite_and_the_first_of_equals():
    points = [
        point("1", speed=float("nan")), point("2", speed=float("inf")), point("3", speed=5.0),
        point("4", speed=9.0, status="failed"), point("5", speed=7.0), point("6", speed=7.0),
        point("7"),
    ]  # fmt: skip
    assert ranked(points, SPEED, maximize=True)[0] is points[4]
    assert ranked(points, SPEED, maximize=False)[0] is points[2]


def test_there_is_no_first_point_where_none_has_the_figure():
    assert ranked([point(), point(status="failed")], SPEED, True) == []


@pytest.mark.parametrize(
    "key", [SPEED, "requests_per_s", "output_tokens_per_s_per_gpu", "distinct_fraction",
            "prefix_cache_hit_rate", "num_samples", "scores.accuracy"],
)  # fmt: skip
def test_more_is_better_of_rates_and_of_what_is_unknown(key):
    assert is_maximized(key)


@pytest.mark.parametrize(
    "key", ["generate_s", "load_s", "times.wall_s", "truncated_fraction", "empty_fraction",
            "num_failed", "num_preemptions", "num_empty", "num_truncated", "peak_memory_gib",
            "num_engine_restarts", "mean_response_tokens", "p95_response_tokens"],
)  # fmt: skip
def test_less_is_better_of_time_memory_faults_and_lengths(key):
    assert not is_maximized(key)


# The parquet file.


def test_the_table_has_a_row_a_point_in_the_order_given(tmp_path):
    points = [point("0.9", speed=1.0), point("0.2", status="failed", error="died"), point("0.5")]
    points.append(point("0.7", speed=0.5))
    written = table(tmp_path, points)
    assert written.column_names == ["point", "sampling.temperature", *COLUMNS]
    assert written["sampling.temperature"].to_pylist() == [0.9, 0.2, 0.5, 0.7]
    assert written["status"].to_pylist() == ["done", "failed", "done", "done"]
    assert written["error"].to_pylist() == [None, "died", None, None]
    assert written["is_best"].to_pylist() == [True, False, False, False]
    assert written["objective"].to_pylist() == [1.0, None, None, 0.5]


def test_the_types_are_the_same_before_anything_is_done_and_after(tmp_path):
    waiting = table(tmp_path, [point(status="waiting")]).schema
    done = answered(tmp_path / "a", ["hi"], [["yo"]], figures=FIGURES, speed=5, engine=1)
    assert table(tmp_path, [done]).schema == waiting
    assert str(waiting.field("num_rows").type) == "int64"
    assert str(waiting.field("p95_response_tokens").type) == "double"
    assert waiting.field("responses").type == pa.list_(
        pa.struct({"row": pa.int64(), "prompt": pa.string(), "responses": pa.list_(pa.string())})
    )


@pytest.mark.parametrize(
    ("typed", "kind"),
    [(["1", "-2"], "int64"), (["1", "0.5"], "double"), (["1e-3", "1"], "double"),
     (["1", "null"], "string"), (["nan", "1"], "string"), (["a", "b"], "string"),
     ([str(2**70), "1"], "double"), (["true", "false"], "string")],
)  # fmt: skip
def test_a_swept_column_is_numeric_where_every_value_is_a_number(tmp_path, typed, kind):
    written = table(tmp_path, [point(text) for text in typed])
    assert str(written.schema.field("sampling.temperature").type) == kind


def test_a_key_that_only_some_points_have_is_null_for_the_others(tmp_path):
    points = [point(values={"sampling.seed": "1"}), point(values={"model": "qwen3_4b"}), point()]
    written = table(tmp_path, points)
    assert written["sampling.seed"].to_pylist() == [1, None, None]
    assert written["model"].to_pylist() == [None, "qwen3_4b", None]
    assert written["sampling.temperature"].to_pylist() == [None, None, 0.7]


def test_a_swept_key_named_like_another_column_is_kept_beside_it(tmp_path):
    written = table(tmp_path, [point(values={"engine": "low_mem"}, engine=2)])
    assert written["swept.engine"].to_pylist() == ["low_mem"]
    assert written["engine"].to_pylist() == [2]


def test_odd_figures_and_no_points_stop_nothing(tmp_path):
    odd = {"num_rows": float("nan"), "num_failed": "three", "load_s": True, "output_path": 7}
    written = table(tmp_path, [point(figures=odd | {"num_samples": 10**30, "wall_s": {}})])
    for name in ("num_rows", "num_failed", "num_samples", "load_s", "wall_s", "responses"):
        assert written[name].to_pylist() == [None]
    assert table(tmp_path, []).num_rows == 0


def test_nothing_is_left_beside_the_three_files_and_old_ones_are_replaced(tmp_path):
    for points in ([point(speed=1.0)], [point(speed=1.0), point(speed=2.0)]):
        written = table(tmp_path, points)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["sweep.csv", "sweep.html", "sweep.parquet", "written.json"]
    assert written.num_rows == 2


# Responses.


def test_responses_stand_beside_their_prompts_with_the_row_of_the_file(tmp_path):
    done = answered(tmp_path / "a", ["one", "two"], [["1", "I"], []])
    assert answers(tmp_path, done) == [
        [
            {"row": 0, "prompt": "one", "responses": ["1", "I"]},
            {"row": 1, "prompt": "two", "responses": []},
        ]
    ]


def test_columns_are_found_by_the_names_the_point_gave_them(tmp_path):
    done = answered(tmp_path / "a", ["q"], [["r"]], prefix="new_", prompt_key="a.question")
    assert answers(tmp_path, done)[0][0] == {"row": 0, "prompt": "q", "responses": ["r"]}


@pytest.mark.parametrize(
    "chat",
    [
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        '[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]',
        ['{"role": "system", "content": "Be brief."}', '{"role": "user", "content": "Hi"}'],
    ],
)
def test_a_chat_is_given_as_one_text(tmp_path, chat):
    done = answered(tmp_path / "a", [chat], [["r"]])
    if isinstance(chat, list) and isinstance(chat[0], str):
        kind = pa.list_(pa.json_())
        storage = pa.array([chat], pa.list_(pa.string())).cast(kind)
        pq.write_table(pa.table({"prompt": storage, "responses": [["r"]]}), tmp_path / "a")
    assert answers(tmp_path, done)[0][0]["prompt"] == "system: Be brief. / user: Hi"


@pytest.mark.parametrize(
    ("value", "text"),
    [('{"a": 1', '{"a": 1'), ("[1, 2]", "[1, 2]"), ("", ""), (None, None), ("[]", "[]"),
     ('[{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]', "user: Hi"),
     ('[{"role": "user", "content": "\\ud800"}]', '[{"role": "user", "content": "\\ud800"}]')],
)  # fmt: skip
def test_text_that_is_no_chat_is_given_as_it_is(tmp_path, value, text):
    done = answered(tmp_path / "a", pa.array([value], pa.string()), [["r"]])
    assert answers(tmp_path, done)[0][0]["prompt"] == text


def test_bytes_that_are_no_text_are_null_in_their_row_alone(tmp_path):
    bad = pa.array([b"\xff\xfe", b"fine"]).view(pa.string())
    rows = answers(tmp_path, answered(tmp_path / "a", bad, [["1"], ["2"]]))[0]
    assert [row["prompt"] for row in rows] == [None, "fine"]


def test_only_the_first_rows_are_read(tmp_path):
    texts = [f"prompt {i}" for i in range(2 * MAX_ROWS)]
    done = answered(tmp_path / "a", texts, [["r"]] * len(texts))
    rows = pq.read_table(tmp_path / "a")
    pq.write_table(rows, tmp_path / "a", row_group_size=MAX_ROWS, use_dictionary=False)
    second = pq.read_metadata(tmp_path / "a").row_group(1).column(0)
    data = bytearray((tmp_path / "a").read_bytes())
    data[second.data_page_offset : second.data_page_offset + 50] = b"\xff" * 50
    (tmp_path / "a").write_bytes(data)
    assert [row["row"] for row in answers(tmp_path, done)[0]] == list(range(MAX_ROWS))


def test_of_very_long_rows_fewer_are_read(tmp_path):
    answered(tmp_path / "a", ["p"] * 9, [["x" * 6_000_000]] * 9)
    assert len(first_answers(tmp_path / "a", "prompt", "responses")) == 3


def test_a_file_that_is_gone_or_unreadable_is_null_and_stops_nothing(tmp_path):
    fine, gone, cut_off, no_column, early = (
        answered(tmp_path / name, ["p"], [["r"]]) for name in "abcde"
    )
    Path(gone.figures["output_path"]).unlink()
    Path(cut_off.figures["output_path"]).write_bytes(b"PAR1 and no more")
    no_column.prefix, early.status = "other_", "running"
    found = answers(tmp_path, fine, gone, cut_off, no_column, early)
    assert [rows is None for rows in found] == [False, True, True, True, True]


def test_a_damaged_page_is_null_and_stops_nothing(tmp_path):
    done = answered(tmp_path / "a", ["p" * 99] * 9, [["r"]] * 9)
    data = bytearray((tmp_path / "a").read_bytes())
    data[4:60] = b"\xff" * 56
    (tmp_path / "a").write_bytes(data)
    assert answers(tmp_path, done) == [None]


# The CSV file.


def test_the_csv_has_the_same_columns_but_the_responses(tmp_path):
    points = [point(speed=2.5, figures=FIGURES), point("0.8", status="waiting"), point(speed=1)]
    rows = cells(tmp_path, *points)
    assert list(rows[0]) == ["point", "sampling.temperature", *COLUMNS[:-1]]
    assert (rows[0]["is_best"], rows[0][SPEED], rows[0]["num_rows"]) == ("true", "2.5", "2")
    assert (rows[1]["is_best"], rows[1][SPEED], rows[1]["status"]) == ("false", "", "waiting")


@pytest.mark.parametrize(
    ("error", "cell"),
    [("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"), ("@SUM(A1)", "'@SUM(A1)"), ("-1.5", "-1.5"),
     ("\t+1+2", "'\t+1+2"), ("-1+cmd", "'-1+cmd"), ("a=b", "a=b"),
     ('two\nlines,"x"', 'two\nlines,"x"')],
)  # fmt: skip
def test_text_in_the_csv_is_never_a_formula(tmp_path, error, cell):
    assert cells(tmp_path, point(status="failed", error=error))[0]["error"] == cell


# The page.


def test_whatever_is_said_in_a_sweep_comes_out_as_text(tmp_path):
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


def test_the_page_counts_marks_the_best_and_tells_of_failures(tmp_path):
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


def test_prompts_stand_side_by_side_with_two_responses_of_each_point(tmp_path):
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


def test_twelve_points_stand_side_by_side_and_the_best_is_one_of_them(tmp_path):
    points = [
        answered(tmp_path / f"{i}", ["p"], [[f"reply {i}."]], speed=float(i), name=f"n{i}")
        for i in range(15)
    ]
    text = page(tmp_path, *points)
    side = text.partition("Side by side")[2]
    assert side.count("<th ") == 12 and "3 more points are left out" in side
    assert "reply 14." in side and "reply 10." in side and "reply 11." not in side


def test_long_texts_are_cut_and_empty_ones_said_to_be(tmp_path):
    text = page(tmp_path, answered(tmp_path / "a", ["p" * 5000, "q"], [["r" * 5000, ""], []]))
    assert "r" * 600 + " …" in text and "r" * 601 not in text and "p" * 601 not in text
    assert "(empty)" in text and "no responses" in text


def test_a_page_without_responses_has_no_side_by_side(tmp_path):
    text = page(tmp_path, point(status="waiting"))
    assert "Side by side" not in text and "1 point: 1 waiting" in text
    Page(text)


def test_half_surrogates_and_control_characters_are_written_out(tmp_path):
    """An error once held bytes of a file name, which no UTF-8 file takes."""
    bad = "a\ud800b\x1b[31m\0"
    points = [point(bad, status="failed", error=bad, name=bad, values={"model": bad})]
    text = page(tmp_path, *points)
    assert "a\\ud800b" in text and "\x1b" not in text and "\0" not in text
    assert cells(tmp_path, *points)[0]["error"].startswith("a\\ud800b")
    assert not set("\x1b\0\ud800") & set(
        "".join(table_lines(points, rank(points, SPEED)) + drawn(points))
    )


# The terminal.


def test_the_lines_are_a_table_with_a_star_before_the_best():
    points = [
        point("0.2", speed=2921.3, figures=FIGURES), point("0.75", speed=3421.0, figures=FIGURES),
        point("1.0", status="failed", error="died"),
    ]  # fmt: skip
    labels = "mean len  p95 len  truncated  distinct  time  load s   GiB"
    figures = "123      512       3.4%    100.0%  2:07    18.3  12.5"
    assert table_lines(points, rank(points, SPEED)) == [
        f"  temperature  status  tokens/s  {labels}",
        f"          0.2  done       2,921       {figures}",
        f"*        0.75  done       3,421       {figures}",
        "          1.0  failed",
    ]


@pytest.mark.parametrize("width", [1, 20, 40, 60, 80, 200])
def test_lines_fit_the_width_by_leaving_columns_out(width):
    points = [point("0.2" * 40, speed=2921.3, figures=FIGURES, values={"m": "模型" * 9, "n": "1"})]
    lines = table_lines(points, rank(points, SPEED), width)
    assert len(lines) == 2
    assert max(map(cell_len, lines)) <= width


def test_the_swept_values_and_the_objective_outlast_the_other_columns():
    points = [point("0.2", speed=2921.3, figures=FIGURES | {"score": {"mean": 0.51234}})]
    header = table_lines(points, rank(points, "score.mean"), 38)[0]
    assert header.split() == ["temperature", "status", "mean", "tokens/s"]
    header = table_lines(points, rank(points, "load_s"), 32)[0]
    assert header.split() == ["temperature", "status", "load", "s"]


def test_a_short_name_that_two_keys_share_is_written_whole():
    points = [point(values={"model.seed": "1", "sampling.seed": "2", "sampling.top_p": "1"})]
    header = table_lines(points, rank(points, SPEED))[0]
    assert header.split() == ["model.seed", "sampling.seed", "top_p", "status"]


def test_points_without_swept_values_are_listed_by_name():
    alone = [point(values={}, name="alone")]
    assert table_lines(alone, rank(alone, SPEED))[1] == "  alone  done"
    assert table_lines([], rank([], SPEED)) == []


def test_long_values_keep_the_ends_that_tell_them_apart():
    points = [point("/models/a/very/long/path/to/some/weights/" + end) for end in ("v1", "v2")]
    first, second = table_lines(points, rank(points, SPEED))[1:]
    assert "weights/v1" in first and "weights/v2" in second


def test_while_it_runs_rows_and_rates_so_far_are_shown():
    points = [
        point("0.2", speed=99.0, figures=FIGURES),
        point("0.7", "running"),
        point("1", "failed"),
    ]
    lines = drawn(points, {points[1].name: (12, 4000, 812.7)})
    assert lines[0].split()[:4] == ["temperature", "status", "rows", "tokens/s"]
    assert [line.split()[:4] for line in lines[1:]] == [
        ["0.7", "running", "12/4,000", "813"], ["1", "failed"], ["0.2", "done", "2", "99"],
    ]  # fmt: skip


def test_the_live_table_counts_what_it_has_no_room_for():
    statuses = ["done"] * 40 + ["failed"] * 2 + ["running"] * 3 + ["waiting"] * 15
    points = [point(str(i), status) for i, status in enumerate(statuses)]
    lines = drawn(points)
    assert len(lines) == 1 + MAX_LIVE_LINES + 1
    assert [line.split()[1] for line in lines[1:7]] == ["running"] * 3 + ["failed"] * 2 + ["done"]
    assert lines[-2].split() == ["39", "done"]
    assert lines[-1] == "and 40 more (25 done, 15 waiting)"


@pytest.mark.parametrize("width", [10, 30, 80])
def test_the_live_table_never_wraps(width):
    points = [point(str(i), "running", speed=1.0, figures=FIGURES) for i in range(30)]
    lines = drawn(points, width=width)
    assert len(lines) == 1 + MAX_LIVE_LINES + 1
    assert max(map(len, lines)) <= width


def test_names_are_no_markup_on_a_terminal():
    lines = drawn([point(values={"model": "[red]a[/red]"}, status="running")])
    assert "[red]a[/red]" in lines[1]


# Many points.


def test_five_hundred_points_are_written_in_seconds_and_listed_shortly(tmp_path):
    texts, replies = [f"p {i}" for i in range(100)], [["word " * 20] * 4] * 100
    published = answered(tmp_path / "a", texts, replies).figures
    statuses = ["failed" if i % 9 == 0 else "done" for i in range(500)]
    points = [
        point(str(i), status, float(i), figures=FIGURES | published)
        for i, status in enumerate(statuses)
    ]
    began = time.process_time()  # of this process, whatever else the machine does
    written = table(tmp_path, points)
    lines = table_lines(points, rank(points, SPEED))
    assert time.process_time() - began < 3
    assert (written.num_rows, written["responses"].null_count) == (500, statuses.count("failed"))
    assert len(lines) == 1 + MAX_LINES + 1 and lines[1].split()[:2] == ["*", "499"]
    assert lines[-1] == "  and 460 more (404 done, 56 failed), see sweep.csv"
    assert (tmp_path / "sweep.html").stat().st_size < 2_000_000

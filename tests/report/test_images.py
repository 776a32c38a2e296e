"""Charts as files: PNG and SVG of each, equal for equal charts, with every text as text."""

import struct
import warnings
from dataclasses import replace

import pytest
from example_pages import run_page, sweep_page
from hostile_pages import ATTACKS, hostile_chart, hostile_heat

from rollout.report.charts import Chart, Kind, Series
from rollout.report.images import write_images

pytest.importorskip("matplotlib", reason="matplotlib is not installed")


def test_each_chart_is_written_as_png_and_svg(tmp_path):
    charts = run_page().charts + sweep_page().charts
    files = write_images(charts, tmp_path / "figures")
    names = [f"{chart.name}.{suffix}" for chart in charts for suffix in ("png", "svg")]
    assert [file.name for file in files] == names
    assert sorted((tmp_path / "figures").iterdir()) == sorted(files)
    for file in files[::2]:
        width, height = struct.unpack(">II", file.read_bytes()[16:24])
        assert width >= 600 and height >= 400


def test_equal_charts_give_equal_files(tmp_path):
    charts = [run_page().charts[0], sweep_page().charts[-1]]
    once = [file.read_bytes() for file in write_images(charts, tmp_path / "a")]
    again = [file.read_bytes() for file in write_images(charts, tmp_path / "b")]
    assert once == again


def test_an_svg_holds_its_words_as_text_and_no_date(tmp_path):
    svg = write_images(run_page().charts[:1], tmp_path)[1].read_text("utf-8")
    for text in ("Throughput", "output tokens/s", "steady", "2:00", "4,000"):
        assert f">{text}</text>" in svg
    assert "<dc:date>" not in svg


def test_hostile_texts_are_drawn_as_text_and_name_no_file_elsewhere(tmp_path):
    no_font_has = "\U000e0101\U000f0000"
    chart = replace(hostile_chart(), title=f"../../$\\frac{{{no_font_has}", name="../../etc/passwd")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        files = write_images([chart, replace(hostile_heat(), name="")], tmp_path)
    assert {file.parent for file in files} == {tmp_path}
    svg = files[1].read_text("utf-8")
    assert "<script" not in svg and "&lt;script&gt;" in svg
    assert "\\u202e" in svg and "\u202e" not in svg
    assert len(ATTACKS) == svg.count('id="xtick_')


def test_charts_of_one_name_get_files_of_their_own(tmp_path):
    chart = Chart("a b", "t", "x", "y", [0.0, 1.0], [Series("s", [1.0, None])])
    files = write_images([chart, chart, replace(chart, name="a_b")], tmp_path)
    assert [file.name for file in files[::2]] == ["a_b.png", "a_b-2.png", "a_b-3.png"]


@pytest.mark.parametrize("values", [[], [None, None], [float("nan"), float("inf")]])
def test_a_chart_without_data_says_so(tmp_path, values):
    x = [float(i) for i in range(len(values))]
    chart = Chart("none", "t", "x", "y", x, [Series("s", values)])
    assert ">no data</text>" in write_images([chart], tmp_path)[1].read_text("utf-8")


def test_a_file_names_the_model_and_the_run_of_its_page(tmp_path):
    """A figure that left its directory did not say of which run it was."""
    charts = run_page().charts[:1]
    svg = write_images(charts, tmp_path, title="Qwen3-4B · my_run")[1].read_text("utf-8")
    assert "Qwen3-4B · my_run</text>" in svg
    assert not write_images(charts, tmp_path)[1].read_text("utf-8").count("my_run")


def test_counts_have_whole_ticks_and_values_over_time_start_at_zero(tmp_path):
    """Rows were marked at 2.5 and 7.5, and 61 to 67 running samples swung wildly."""
    rows = Chart("rows", "t", "x", "y", [0.0, 1.0], [Series("s", [1.0, 3.0], Kind.bars)])
    running = Chart("run", "t", "x", "y", [0.0, 1.0], [Series("s", [61.0, 67.0])], group="time")
    svgs = [file.read_text("utf-8") for file in write_images([rows, running], tmp_path, ("svg",))]
    assert ">0.5</text>" not in svgs[0].partition('id="matplotlib.axis_2"')[2]
    assert ">0</text>" in svgs[1].partition('id="matplotlib.axis_2"')[2]

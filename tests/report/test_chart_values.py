"""Values of charts as text, in Python for cells and files, in a browser for axes and legends."""

import pytest
from in_chromium import needs_chromium, opened

from rollout.postprocess.export.score_texts import score_text
from rollout.report.charts import Format
from rollout.report.values import value_text
from rollout.system.terminal import share_text

CASES = [
    (None, Format.number, "–"),
    (0.0, Format.number, "0"),
    (1234567.0, Format.number, "1,234,567"),
    (1234.56, Format.number, "1,235"),
    (123.456, Format.number, "123.5"),
    (12.345, Format.number, "12.35"),
    (-0.12345, Format.number, "-0.1235"),
    (0.00001, Format.log, "1.00e-5"),
    (0.438, Format.percent, "43.8%"),
    (0.2875, Format.percent, "28.8%"),  # in binary just below
    (0.2825, Format.percent, "28.3%"),
    (-0.0005, Format.percent, "-0.1%"),
    (1.0, Format.percent, "100%"),
    (12.5, Format.seconds, "12.5 s"),
    (61.0, Format.seconds, "1:01"),
    (3723.0, Format.seconds, "1:02:03"),
    (-90.0, Format.seconds, "-1:30"),
]


@pytest.mark.parametrize(("value", "written_as", "text"), CASES)
def test_a_value_is_written_with_its_unit(value, written_as, text):
    assert value_text(value, written_as) == text


def test_a_share_is_rounded_the_same_on_a_card_in_a_chart_and_in_a_table_of_scores():
    """92 of 320 was 28.7% on a card and 28.8% in a chart."""
    texts = {share_text(92 / 320), score_text(92 / 320), value_text(92 / 320, Format.percent)}
    assert texts == {"28.8%"}


def test_missing_and_infinite_values_have_a_text():
    assert value_text(float("nan"), Format.number) == "–"
    assert value_text(float("-inf"), Format.seconds) == "-∞"
    assert value_text(float("inf"), Format.percent) == "∞"


@needs_chromium
def test_a_browser_writes_the_same(chromium, pages):
    cases = [[value, format.value] for value, format, _ in CASES]
    with opened(chromium, pages["run"]) as page:
        texts = page.evaluate("cases => cases.map(([v, f]) => valueText(v, f))", cases)
        assert texts == [text for _, _, text in CASES]

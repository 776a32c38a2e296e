"""Pages in a real browser, from file://: they work, ask for nothing, and run no text of a model."""

import itertools

import pytest
from in_chromium import PHONE, needs_chromium, opened, written

from rollout.report.charts import Chart, Format, Kind, Series, Span
from rollout.report.page import Code, Page, Section, Table, TableColumn, TableRow

pytestmark = needs_chromium


PAGES = ("run", "sweep", "hostile")
LOOKS = {"light": {}, "dark": {"color_scheme": "dark"}, "phone": PHONE}


@pytest.mark.parametrize(("name", "look"), [*itertools.product(PAGES, LOOKS)])
def test_a_page_opens_without_errors_and_never_scrolls_sideways(chromium, pages, name, look):
    with opened(chromium, pages[name], **LOOKS[look]) as page:
        width = page.viewport_size["width"]  # innerWidth grows where a phone zooms out
        assert page.evaluate("document.scrollingElement.scrollWidth") == width
        assert page.locator(".prompt").count() > 0


LINK_ENDS = """() => {
  const bar = document.querySelector('.links').getBoundingClientRect();
  const link = document.querySelector('.links [aria-current]').getBoundingClientRect();
  return [link.left - bar.left, bar.right - link.right];
}"""


@pytest.mark.parametrize("look", ["light", "phone"])
def test_the_link_of_the_section_in_view_is_in_sight_in_the_bar(chromium, pages, look):
    """The last links were cut at the bar's end, and nothing said that there are more."""
    with opened(chromium, pages["sweep"], **LOOKS[look]) as page:
        last = page.locator(".links a").last
        for link in (page.locator(".links a").first, last):
            page.evaluate("id => document.querySelector(id).scrollIntoView({behavior: 'instant'})",
                          link.get_attribute("href"))  # fmt: skip
            page.wait_for_timeout(200)
            assert min(page.evaluate(LINK_ENDS)) >= 0


INTRUDERS = """<script>window.ran = 1</script>
<img src="data:image/png,x" onerror="window.ran = 2"><img src="https://example.com/x.png">
<a id="link" href="javascript:window.ran = 3">link</a>
<script src="https://example.com/x.js"></script><iframe src="https://example.com/"></iframe>
<style>body { display: none }</style></body>"""


def test_the_policy_stops_whatever_might_get_into_a_page(chromium, pages, tmp_path):
    file = tmp_path / "intruded.html"
    html = pages["run"].read_text("utf-8")
    file.write_text(html.replace("</body>", INTRUDERS), encoding="utf-8")
    context = chromium.new_context()
    page, errors, answered = context.new_page(), [], []
    page.on("console", lambda message: errors.append(message.text))
    context.on("requestfinished", lambda request: answered.append(request.url))
    page.goto(file.as_uri())
    page.evaluate("document.getElementById('link').click()")
    page.wait_for_timeout(100)
    assert page.evaluate("window.ran") is None
    assert page.evaluate("getComputedStyle(document.body).display") == "block"
    assert [url for url in answered if not url.startswith(("file:", "data:"))] == []
    assert sum("Content Security Policy" in error for error in errors) >= 7
    with pytest.raises(Exception, match="TrustedHTML"):
        page.evaluate("document.body.innerHTML = '<b>x</b>'")
    context.close()


@pytest.mark.parametrize("look", LOOKS)
def test_each_chart_is_drawn_in_its_colours(chromium, pages, look):
    with opened(chromium, pages["run"], **LOOKS[look]) as page:
        drawn = page.evaluate(
            """[...document.querySelectorAll('[data-chart] canvas')].map(canvas => {
              const wanted = getComputedStyle(canvas.closest('figure').querySelector('.swatch'));
              const [r, g, b] = wanted.backgroundColor.match(/\\d+/g).map(Number);
              const {width, height} = canvas;
              const {data} = canvas.getContext('2d').getImageData(0, 0, width, height);
              let found = 0;
              for (let i = 0; i < data.length; i += 4)
                if (data[i] === r && data[i + 1] === g && data[i + 2] === b) found++;
              return [found, width / canvas.clientWidth / devicePixelRatio];
            })"""
        )
        assert len(drawn) == 5
        assert all(found > 30 and scale == pytest.approx(1, abs=0.01) for found, scale in drawn)


def test_a_chart_without_data_says_so(chromium, pages):
    with opened(chromium, pages["sweep"]) as page:
        figure = page.locator("figure", has_text="Nothing yet")
        assert "no data" in figure.inner_text() and figure.locator("canvas").count() == 0


def test_the_legend_shows_the_values_at_the_cursor_in_all_charts_of_a_group(chromium, pages):
    with opened(chromium, pages["run"]) as page:
        box = page.locator(".u-over").first.bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 50)
        where = page.locator(".where").all_inner_texts()
        assert where[0] == where[1] == where[2] == "time since launch: 4:50 · steady"
        assert "(" not in page.locator(".legend").nth(2).inner_text()
        assert page.locator(".at").nth(1).inner_text() == "256"


def test_a_drag_zooms_all_charts_of_a_group_and_a_double_click_shows_all(chromium, pages):
    with opened(chromium, pages["run"]) as page:
        canvas = page.locator("canvas").nth(1)
        whole = canvas.screenshot()
        box = page.locator(".u-over").first.bounding_box()
        page.mouse.move(box["x"] + 100, box["y"] + 50)
        page.mouse.down()
        page.mouse.move(box["x"] + 400, box["y"] + 50, steps=5)
        page.mouse.up()
        page.mouse.move(5, 5)
        assert canvas.screenshot() != whole
        page.mouse.dblclick(box["x"] + 200, box["y"] + 50)
        page.mouse.move(5, 5)
        page.wait_for_timeout(100)
        assert canvas.screenshot() == whole


def test_a_click_on_the_legend_hides_a_series_and_shows_it_again(chromium, pages):
    with opened(chromium, pages["run"]) as page:
        figure = page.locator("figure", has_text="Response lengths")
        before = figure.locator("canvas").screenshot()
        button = figure.get_by_role("button", name="stop")
        button.click()
        assert button.get_attribute("aria-pressed") == "false"
        assert figure.locator("canvas").screenshot() != before
        button.click()
        assert figure.locator("canvas").screenshot() == before


def test_a_named_point_shows_its_name_when_pointed_at(chromium, pages):
    with opened(chromium, pages["sweep"]) as page:
        figure = page.locator("figure", has_text="Throughput against memory")
        figure.scroll_into_view_if_needed()
        box = figure.locator(".u-over").bounding_box()
        for x in range(0, int(box["width"]), 8):
            page.mouse.move(box["x"] + x, box["y"] + box["height"] - 20)
            if figure.locator(".tip").count():
                break
        assert figure.locator(".tip").inner_text().splitlines() == [
            "max_num_seqs=16", "GiB: 14", "output tokens/s: 900",
        ]  # fmt: skip


DRAWN = """async () => {
  const chart = JSON.parse(document.getElementById('data').textContent).charts[0];
  const place = document.querySelector('.plot'), visible = [true];
  const state = {chart, visible, layers: layersOf(chart), edges: edgesOf(chart)};
  state.legend = legendOf(state);
  const data = plotData(chart, state.layers, visible, state.edges);
  const plot = new uPlot(options(state, place), data, place);
  await new Promise(requestAnimationFrame);
  return [plot.scales.y.min, plot.scales.y.max, plot.axes[1]._values];
}"""


@pytest.mark.parametrize("look", [{}, PHONE])
def test_the_copy_button_does_not_cover_the_command(chromium, tmp_path, look):
    code = Code("python -m rollout " + "data.input=prompts.parquet " * 20, "To repeat it:")
    made = written({"c": Page("c", sections=[Section("S", [code])])}, tmp_path)
    with opened(chromium, made["c"], **look) as page:
        text, button = (page.locator(f".code {name}").bounding_box() for name in ("pre", ".copy"))
        assert text["x"] + text["width"] <= button["x"] + 1


def test_counts_of_rows_have_whole_ticks(chromium, tmp_path):
    """There was a tick at 2.5 rows."""
    drawn = Chart("c", "C", "x", "rows", [0, 1], [Series("s", [1.0, 2.0], Kind.bars)])
    made = written({"w": Page("w", sections=[Section("S", [drawn])])}, tmp_path)
    with opened(chromium, made["w"]) as page:
        texts = page.evaluate(DRAWN)[2]
        assert {"0", "1", "2"} <= set(texts) and not [text for text in texts if "." in text]


def test_values_over_time_start_at_zero(chromium, tmp_path):
    """61 to 67 running samples looked like violent swings."""
    drawn = Chart("c", "C", "x", "y", [0, 1], [Series("s", [61.0, 67.0])], group="time")
    made = written({"w": Page("w", sections=[Section("S", [drawn])])}, tmp_path)
    with opened(chromium, made["w"]) as page:
        assert page.evaluate(DRAWN)[0] == 0


@pytest.mark.parametrize("kind", [Kind.bars, Kind.points])
@pytest.mark.parametrize("y_format", [Format.number, Format.log])
def test_the_ends_of_whiskers_are_within_the_chart(chromium, tmp_path, kind, y_format):
    """The range was that of the values alone, so a wide interval was cut off."""
    series = [Series("s", [2.0, 3.0], kind, low=[0.5, 1.0], high=[40.0, 9.0])]
    drawn = Chart("c", "C", "x", "y", [0, 1], series, ticks=["a", "b"], y_format=y_format)
    made = written({"w": Page("w", sections=[Section("S", [drawn])])}, tmp_path)
    with opened(chromium, made["w"]) as page:
        low, high, _ = page.evaluate(DRAWN)
        assert low <= 0.5 and high >= 40


def test_a_phase_has_one_colour_whichever_phases_a_chart_has(chromium, tmp_path):
    def colour(*names):
        spans = [Span(name, i, i + 1) for i, name in enumerate(names)]
        values = Series("s", [None] * 4 + [1.0])
        page = Page(
            "p", sections=[Section("S", [Chart("c", "C", "x", "y", [*range(5)], [values], spans)])]
        )
        with opened(chromium, written({"c": page}, tmp_path)["c"]) as shown:
            return shown.evaluate(
                """at => {
                  const canvas = document.querySelector('canvas');
                  const y = Math.round(canvas.height / 2) + 3;
                  const x = Math.round(canvas.width * (0.1 + 0.9 * at));
                  return [...canvas.getContext('2d').getImageData(x, y, 1, 1).data].join();
                }""",
                (len(names) - 0.5) / 4,
            )

    assert colour("load", "fill", "tail") == colour("load", "fill", "steady", "attempt 2: tail")
    assert colour("load", "steady") != colour("load", "tail")


def test_a_short_table_never_scrolls_down_on_a_phone(chromium, tmp_path):
    text = "a long explanation of what the seconds of this phase cover, and of what they leave out"
    columns = [TableColumn(name) for name in ("phase", "time", "share", "tokens/s", "covers")]
    rows = [TableRow([f"phase {i}", "10.0 s", "10.0%", "1,234", text]) for i in range(12)]
    page = Page("p", sections=[Section("S", [Table(columns, rows)])])
    with opened(chromium, written({"t": page}, tmp_path)["t"], **PHONE) as shown:
        place = shown.locator(".scroll")
        inner, outer = place.evaluate("e => [e.scrollHeight, e.clientHeight]")
        assert inner <= outer


def test_the_values_of_a_chart_unfold_as_a_table(chromium, pages):
    with opened(chromium, pages["sweep"]) as page:
        figure = page.locator("figure", has_text="pass@k")
        figure.get_by_text("values", exact=True).click()
        assert figure.locator("tbody tr").count() == 7
        assert figure.locator("tbody tr").first.inner_text().split("\t") == [
            "0", "80% (78% to 82%)", "80% (78% to 82%)",
        ]  # fmt: skip


def test_the_button_switches_between_light_and_dark_and_is_remembered(chromium, pages):
    with opened(chromium, pages["run"]) as page:
        paper = "getComputedStyle(document.body).backgroundColor"
        light = page.evaluate(paper)
        page.get_by_role("button", name="Switch between light and dark").click()
        dark = page.evaluate(paper)
        assert dark != light
        page.reload()
        assert page.evaluate(paper) == dark


def test_a_click_on_a_header_sorts_with_missing_values_last(chromium, pages):
    with opened(chromium, pages["run"]) as page:
        first = "table.sortable tbody tr:first-child td:nth-child({})"
        header = page.get_by_role("button", name="latency")
        header.click()
        latencies = page.locator(first.format(2)).all_inner_texts()
        assert latencies == [*sorted(latencies[:-1], reverse=True), "–"]
        header.click()
        assert page.locator(first.format(2)).all_inner_texts() == [*latencies[-2::-1], "–"]
        assert page.locator("th[aria-sort]").get_attribute("aria-sort") == "ascending"
        assert page.locator("tbody.failed tr").count() == 2


def test_print_opens_all_that_is_folded_and_folds_it_again(chromium, pages):
    with opened(chromium, pages["run"], color_scheme="dark") as page:
        folded = "document.querySelectorAll('details:not([open]):not(.values)').length"
        num_folded = page.evaluate(folded)
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert num_folded > 10 and page.evaluate(folded) == 0
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert page.evaluate(folded) == num_folded
        assert page.pdf()[:5] == b"%PDF-"

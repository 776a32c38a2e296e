"""A page's HTML: one file that loads nothing, runs only its own scripts, and holds strict JSON."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
from example_pages import run_page, sweep_page
from hostile_pages import ATTACKS, hostile_page

from rollout.report.charts import Chart, HeatMap, Series
from rollout.report.html import SCRIPTS, STYLES, _asset, heat_step, html_of
from rollout.report.page import Browser, Page, Section
from rollout.report.script_json import script_json


class Elements(HTMLParser):
    """Tags with their attributes, and the texts of scripts and styles."""

    def __init__(self, html: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {"script": [], "style": [], "json": []}
        self._open = ""
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.tags.append((tag, found))
        self._open = "json" if found.get("type") == "application/json" else tag
        if self._open in self.texts:
            self.texts[self._open].append("")

    def handle_data(self, data):
        if self._open in self.texts:
            self.texts[self._open][-1] += data

    def handle_endtag(self, tag):
        self._open = ""


@pytest.fixture(scope="module")
def hostile():
    return html_of(hostile_page())


def policy_of(elements: Elements) -> dict[str, str]:
    metas = [a for tag, a in elements.tags if tag == "meta" and "http-equiv" in a]
    assert [a["http-equiv"] for a in metas] == ["Content-Security-Policy"]
    parts = (part.strip().partition(" ") for part in metas[0]["content"].split(";"))
    return {name: value for name, _, value in parts}


def test_the_policy_allows_the_scripts_of_the_page_by_their_hashes_and_nothing_else(hostile):
    elements = Elements(hostile)
    policy = policy_of(elements)
    for kind in ("script", "style"):
        digests = [hashlib.sha256(text.encode()).digest() for text in elements.texts[kind]]
        hashes = {f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests}
        assert set(policy[f"{kind}-src"].split()) == hashes
    assert policy["default-src"] == policy["connect-src"] == "'none'"
    assert policy["base-uri"] == policy["form-action"] == "'none'"
    assert "unsafe" not in json.dumps(policy)


def test_hostile_texts_add_no_element_and_no_attribute():
    benign = Elements(html_of(run_page()) + html_of(sweep_page())).tags
    elements = Elements(html_of(hostile_page()))
    assert {tag for tag, _ in elements.tags} <= {tag for tag, _ in benign}
    for tag, attributes in elements.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        if tag in ("a", "link"):
            assert re.fullmatch(r"#[\w=-]*|data:,", attributes["href"])
        assert "src" not in attributes
    assert [len(elements.texts[k]) for k in ("script", "style", "json")] == [2, 3, 1]


def test_no_control_and_no_invisible_character_stands_outside_the_data(hostile):
    outside = hostile.replace(Elements(hostile).texts["json"][0], "")
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2066-\u2069]", outside)
    assert "right\\u202eto\\u2066left\\u2069" in outside
    hostile.encode("utf-8")


def test_the_data_is_strict_json_that_cannot_end_its_script(hostile):
    text = Elements(hostile).texts["json"][0]
    assert not re.search("[<>&\u2028\u2029\u202e]", text)

    def refuse(constant):
        raise AssertionError(constant)

    data = json.loads(text, parse_constant=refuse)
    assert [p["messages"][0][0] for p in data["browsers"][0]["prompts"]][: len(ATTACKS)] == ATTACKS
    assert data["codes"] == ATTACKS


def test_numbers_that_are_not_finite_are_missing_values():
    chart = Chart("c", "c", "x", "y", [0.0, 1.0, 2.0], [Series("s", [float("nan"), 1.5, None])])
    assert json.loads(script_json(chart))["series"] == [{"name": "s", "values": [None, 1.5, None]}]
    assert script_json([float("inf"), True, 3]) == "[null,true,3]"


def test_data_of_unknown_types_is_refused():
    with pytest.raises(TypeError, match="cannot hold bytes"):
        script_json([b"x"])


def test_a_page_names_no_address_but_that_of_the_library_it_embeds():
    html = html_of(run_page()) + html_of(sweep_page())
    assert set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"']*", html)) == {
        "https://github.com/leeoniya/uPlot"
    }


def test_the_library_is_embedded_unchanged_with_its_licence():
    digest = hashlib.sha256(_asset("uplot.min.js").encode()).hexdigest()
    assert digest == "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f"
    assert "uPlot (v1.6.32)" in html_of(Page("t"))
    assert "The MIT License" in _asset("uplot.LICENSE")


def test_no_script_and_no_style_of_ours_is_long():
    lines = {name: _asset(name).count("\n") for name in (*SCRIPTS, *STYLES)}
    assert not {name: count for name, count in lines.items() if count > 350}


def test_equal_pages_give_equal_files():
    assert html_of(run_page()) == html_of(run_page())


def test_a_page_of_5000_samples_of_a_kilobyte_stays_under_8_mb():
    html = html_of(run_page(num_prompts=1250, n=4, chars=1000))
    samples = json.loads(Elements(html).texts["json"][0])["browsers"][0]["prompts"]
    texts = [s["text"] for p in samples for one in p["samples"] for s in one or ()]
    assert len(texts) == 4996 and 900 < sum(map(len, texts)) / len(texts) < 1100
    assert len(html.encode()) < 8_000_000


def test_a_page_without_blocks_and_with_empty_blocks_is_a_page():
    assert "<h1>" in html_of(Page("empty"))
    empty = [
        Browser([]),
        HeatMap("h", "h", "x", "y", [], [], []),
        Chart("c", "c", "x", "y", [], []),
    ]
    html = html_of(Page("empty", sections=[Section("none", empty)]))
    assert "no data" in html


def test_the_page_says_who_made_it_and_sends_no_referrer():
    metas = {
        a.get("name"): a.get("content") for t, a in Elements(html_of(Page("t"))).tags if t == "meta"
    }
    assert metas["generator"].startswith("rollout ")
    assert metas["referrer"] == "no-referrer"


@pytest.mark.parametrize(
    ("value", "step"), [(None, None), (float("nan"), None), (1.0, 0), (2.0, 5), (3.0, 9)]
)
def test_colours_of_a_heat_map_go_from_its_lowest_to_its_highest_value(value, step):
    heat = HeatMap("h", "h", "x", "y", ["a", "b", "c"], ["d"], [[1.0, 2.0, 3.0]])
    assert heat_step(value, heat) == step


def test_text_on_every_colour_of_a_heat_map_has_a_contrast_of_4_5():
    pair = r"light-dark\((\S+), (\S+)\)"
    rule = rf"\.heat-(\d) \{{ background: {pair}; color: {pair}"
    found = re.findall(rule, _asset("page.css"))
    assert [int(step) for step, *_ in found] == list(range(10))
    for _, light, dark, on_light, on_dark in found:
        assert contrast(light, on_light) >= 4.5
        assert contrast(dark, on_dark) >= 4.5


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of WCAG 2."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(share * c for share, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

"""The sample browser in a real browser: search, filters, order, pages, links, keys and copying."""

import random
import unicodedata
from pathlib import Path

import pytest
from hostile_pages import ATTACKS, LONG_LINE
from hostile_texts import TEXTS
from in_chromium import PHONE, needs_chromium, opened, written

from rollout.report.page import Browser, Page, PromptView, SampleView, Section
from rollout.system.safe_text import printable_text

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def files(pages, tmp_path_factory) -> dict[str, Path]:
    judged = Page("judged", sections=[Section("samples", [judged_browser()])])
    more = {"judged": judged, "unscored": unscored_page(True), "left out": unscored_page(False)}
    more["wide"] = Page("wide", sections=[Section("samples", [wide_browser()])])
    more["asked"] = Page("asked", sections=[Section("samples", [asked_browser()])])
    return pages | written(more, tmp_path_factory.mktemp("judged"))


def unscored_page(errors_fail: bool) -> Page:
    """Return the page of one row: a right sample, and one that the scorer failed at."""
    samples = [SampleView("4", None, "stop", 1, 1.0, "right"),
               SampleView("?", None, "stop", 1, None, "error")]  # fmt: skip
    browser = Browser([PromptView(0, [("", "2 + 2")], [samples])], errors_fail=errors_fail)
    return Page("unscored", sections=[Section("samples", [browser])])


def wide_browser() -> Browser:
    """Return one row of 12 samples, more than are in view, of which the tenth is cut off."""
    samples = [SampleView(f"no {i}", None, "length" if i == 9 else "stop", 3) for i in range(12)]
    return Browser([PromptView(0, [("", "q")], [samples])])


def asked_browser() -> Browser:
    """Return a row that the second of two points asked in other words."""
    samples = [[SampleView("yes", None, "stop", 1)], [SampleView("no", None, "stop", 1)]]
    others = (None, [("", "at length, q")])
    return Browser([PromptView(0, [("", "briefly, q")], samples, others=others)], ["a", "b"])


def judged_browser() -> Browser:
    """Return rows 0 to 5: solved, mixed, unsolved, equal, failed, and cut off while reasoning."""

    def sample(text, verdict, tokens, finish="stop", reasoning=None):
        return SampleView(text, reasoning, finish, tokens, float(verdict == "right"), verdict)

    rows = [
        [sample("Aha", "right", 5), sample("Oh", "right", 7)],
        [sample("needle in HAY", "right", 90), sample("no", "wrong", 1)],
        [sample("why", "wrong", 30), sample("what", "no_answer", 40)],
        [sample("same", "unjudged", 2), sample("same", "unjudged", 2)],
        None,
        [sample("", "cut_off", 300, "length", "a hidden thought"), sample("x", "wrong", 2)],
    ]
    prompts = [
        PromptView(i, [("system", "Be brief."), ("user", f"Question {i}?")], [samples],
                   ["too long" if samples is None else None], "42", 11)
        for i, samples in enumerate(rows)
    ]  # fmt: skip
    return Browser(prompts, num_rows=100_000, note="Drawn with seed 0.")


def rows_shown(page) -> list[int]:
    return [int(one.get_attribute("data-row")) for one in page.locator(".prompt").all()]


def search_for(page, text: str) -> None:
    page.get_by_role("searchbox").fill(text)
    page.wait_for_timeout(300)


def test_the_page_says_how_many_rows_of_the_file_it_holds(chromium, files):
    with opened(chromium, files["judged"]) as page:
        note = page.locator(".samples > .note").inner_text()
        assert note == "6 of 100,000 rows are on this page. Drawn with seed 0."


@pytest.mark.parametrize(
    ("query", "rows"),
    [("HAY", [1]), ("question 3", [3]), ("hidden thought", [5]), ("too long", [4]), ("[.*", [])],
)
def test_search_finds_prompts_responses_reasoning_and_errors(chromium, files, query, rows):
    with opened(chromium, files["judged"]) as page:
        search_for(page, query)
        assert rows_shown(page) == rows
        marks = {text.lower() for text in page.locator("mark").all_inner_texts()}
        assert marks == ({query.lower()} if rows else set())
        assert page.locator("mark").first.is_visible() or not rows


@pytest.mark.parametrize(
    ("name", "value", "rows"),
    [
        ("finish reason", "length", [5]),
        ("verdict", "right", [0, 1]),
        ("verdict", "unjudged", [3]),
        ("rows", "failed", [4]),
        ("rows", "mixed", [1]),
        ("rows", "solved", [0]),
        ("rows", "unsolved", [2, 5]),
        ("rows", "same", [3]),
        ("order", "longest", [5, 1, 2, 0, 3, 4]),
        ("order", "mean", [5, 1, 2, 0, 3, 4]),
        ("order", "short", [3, 0, 2, 1, 5, 4]),
        ("order", "hard", [2, 5, 1, 0, 3, 4]),
        ("order", "easy", [0, 1, 2, 5, 3, 4]),
        ("order", "failed", [4, 0, 1, 2, 3, 5]),
    ],
)
def test_filters_and_orders_choose_rows(chromium, files, name, value, rows):
    with opened(chromium, files["judged"]) as page:
        page.get_by_label(name, exact=True).select_option(value)
        assert rows_shown(page) == rows
        page.get_by_role("button", name="Clear").click()
        assert rows_shown(page) == [0, 1, 2, 3, 4, 5]


def test_an_error_of_the_scorer_counts_as_the_page_s_scores_count_it(chromium, files):
    """A row of one right sample and three errors was `1 of 1 right` beside a pass@1 of 25%."""
    said = []
    for name in ("unscored", "left out"):
        with opened(chromium, files[name]) as page:
            said.append(page.locator(".prompt-head .soft").inner_text().partition(" · ")[0])
    assert said == ["1 of 2 right", "1 of 1 right"]


def test_the_first_sample_that_a_filter_finds_is_scrolled_into_view(chromium, files):
    with opened(chromium, files["wide"]) as page:
        found = page.locator("[data-sample='9']")
        assert found.bounding_box()["x"] > 1280
        page.get_by_label("finish reason", exact=True).select_option("length")
        page.wait_for_timeout(300)
        assert 0 <= page.locator("[data-sample='9']").bounding_box()["x"] < 1000


def test_a_prompt_that_a_point_asked_otherwise_is_beside_its_responses_and_found(chromium, files):
    with opened(chromium, files["asked"]) as page:
        columns = page.locator(".column").all_inner_texts()
        assert "at length, q" in columns[1] and "asked here" not in columns[0]
        search_for(page, "at length")
        assert rows_shown(page) == [0]


def test_a_range_of_lengths_dims_the_other_samples_of_a_row(chromium, files):
    with opened(chromium, files["judged"]) as page:
        page.get_by_label("least tokens").fill("31")
        page.get_by_label("most tokens").fill("90")
        page.wait_for_timeout(300)
        assert rows_shown(page) == [1, 2]
        dimmed = page.locator(".sample.dim").all_inner_texts()
        assert ["no" in dimmed[0], "why" in dimmed[1], len(dimmed)] == [True, True, 2]


def test_cards_show_verdict_tokens_finish_answer_and_folded_reasoning(chromium, files):
    with opened(chromium, files["judged"], "#row=5") as page:
        card = page.locator("[data-row='5'] .sample").first
        assert card.locator(".mark").get_attribute("aria-label") == "cut off, no answer"
        text = card.inner_text()
        assert "300 tokens" in text and "cut off" in text and "(empty)" in text
        assert "reference 42" in text and "reasoning, 16 characters" in text
        assert not card.get_by_text("a hidden thought").is_visible()
        card.get_by_text("reasoning").click()
        assert card.get_by_text("a hidden thought").is_visible()


def test_a_card_says_once_that_it_was_cut_off(chromium, tmp_path):
    sample = SampleView("so", None, "length", 9, 0.0, "cut_off", error="cut off before an answer")
    browser = Browser([PromptView(0, [("", "q")], [[sample]], [None], "42", 11)], num_rows=1)
    file = written({"c": Page("c", sections=[Section("S", [browser])])}, tmp_path)["c"]
    with opened(chromium, file) as page:
        text = page.locator(".sample").inner_text()
        assert text.count("cut off") == 1 and "reference 42" in text


def test_earlier_turns_are_folded_and_roles_are_shown(chromium, files):
    with opened(chromium, files["judged"]) as page:
        turns = page.locator("[data-row='0'] .turns")
        assert turns.inner_text().split("\n")[0] == "1 earlier turn: system"
        assert not turns.get_by_text("Be brief.").is_visible()
        assert turns.get_by_text("Question 0?").is_visible()
        turns.locator("summary").click()
        assert turns.locator(".role").all_inner_texts() == ["system", "user"]


def test_buttons_and_arrow_keys_turn_pages_and_a_slash_searches(chromium, files):
    with opened(chromium, files["run"]) as page:
        page.get_by_role("button", name="Next").first.click()
        assert rows_shown(page) == list(range(10, 20))
        page.keyboard.press("ArrowRight")
        assert rows_shown(page) == list(range(20, 30))
        page.keyboard.press("ArrowLeft")
        page.get_by_label("rows a page").first.select_option("5")
        assert rows_shown(page) == list(range(10, 15))
        page.keyboard.press("Escape")
        page.evaluate("document.activeElement.blur()")
        page.keyboard.press("/")
        page.keyboard.type("Box 3 ")
        page.keyboard.press("ArrowLeft")
        page.wait_for_timeout(300)
        assert rows_shown(page) == [3]


def test_a_link_opens_its_row_even_if_a_filter_hides_it(chromium, files):
    with opened(chromium, files["run"], "#row=33") as page:
        assert page.locator(".prompt.linked").get_attribute("data-row") == "33"
        search_for(page, "Box 1 ")
        page.locator("a[href='#row=17']").first.click()
        page.wait_for_timeout(100)
        linked = page.locator(".prompt.linked")
        assert linked.get_attribute("data-row") == "17" and "failed" in linked.inner_text()
        assert page.get_by_role("searchbox").input_value() == ""


def test_a_click_on_a_row_of_a_table_opens_its_prompt(chromium, files):
    with opened(chromium, files["run"]) as page:
        page.locator("tr[data-prompt='5'] td").nth(2).click()
        page.wait_for_timeout(100)
        assert page.locator(".prompt.linked").get_attribute("data-row") == "5"
        assert page.url.endswith("#row=5")


def test_a_link_to_a_row_that_is_not_here_says_so(chromium, files):
    with opened(chromium, files["run"], "#row=999") as page:
        assert page.get_by_role("status").last.inner_text() == "row 999 is not on this page"


def test_a_sweep_shows_a_column_a_point_with_arrows_to_its_other_samples(chromium, files):
    with opened(chromium, files["sweep"]) as page:
        columns = page.locator("[data-row='0'] .column")
        names = [text.split()[0] for text in columns.locator(".source").all_inner_texts()]
        assert names == ["t=0.2", "t=0.6", "t=1.0"]
        step = columns.nth(1).get_by_role("button", name="next sample")
        step.click()
        step.click()
        assert columns.nth(1).locator(".index").inner_text() == "#2"
        assert columns.nth(0).locator(".index").inner_text() == "#0"
        assert step.is_disabled()


COPY_AND_READ = """async numbers => {
  const seen = [];
  navigator.clipboard.writeText = async text => { seen.push(text); };
  for (const number of numbers) {
    const done = new Promise(resolve => addEventListener('hashchange', resolve, {once: true}));
    location.hash = `row=${number}`;
    await done;
    const card = document.querySelector(`[data-row="${number}"] [data-sample="0"]`);
    card.querySelector('.copy').click();
    seen.push(card.lastChild.textContent);
  }
  return seen;
}"""


def test_hostile_text_is_shown_as_on_a_terminal_and_copied_as_it_is(chromium, files):
    with opened(chromium, files["hostile"]) as page:
        page.get_by_label("rows a page").first.select_option("5")
        seen = page.evaluate(COPY_AND_READ, [*range(len(ATTACKS))])
        for text, copied, shown in zip(ATTACKS, seen[::2], seen[1::2], strict=True):
            assert utf16(copied) == utf16(text)
            assert utf16(shown) == utf16(printable_text(text))


def utf16(text: str) -> bytes:
    """Return text as units of UTF-16, so that half surrogate pairs compare."""
    return text.encode("utf-16-le", "surrogatepass")


def random_text(rng: random.Random, blocks: list[tuple[int, int]]) -> str:
    """Return characters of some blocks; those that Python's Unicode lacks, a browser may know."""
    drawn = "".join(chr(rng.randrange(*rng.choice(blocks))) for _ in range(12))
    text = drawn.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")
    return "".join(c for c in text if unicodedata.category(c) != "Cn")


def test_the_page_escapes_the_characters_that_the_terminal_escapes(chromium, files):
    rng = random.Random(0)
    blocks = [(0, 0x400), (0x300, 0x370), (0x5D0, 0x700), (0x900, 0x980), (0x1780, 0x18B0),
              (0x2000, 0x2100), (0x2600, 0x2700), (0xD800, 0xE000), (0xFE00, 0xFE10),
              (0xFFF0, 0x10000), (0x1F300, 0x1F600), (0xE0000, 0xE0200)]  # fmt: skip
    texts = [random_text(rng, rng.choices(blocks, k=2)) for _ in range(3000)]
    with opened(chromium, files["judged"]) as page:
        shown = page.evaluate("texts => texts.map(printable)", texts)
        assert shown == [printable_text(text) for text in texts]


def test_no_hostile_text_runs_on_any_page_with_all_unfolded(chromium, files):
    with opened(chromium, files["hostile"], **PHONE) as page:
        unfold = """selector => document.querySelectorAll(selector).forEach(one =>
          one.tagName === 'DETAILS' ? one.open = true : one.click())"""
        pages = page.locator(".samples").last.get_by_role("button", name="Next").first
        for _ in range(-(-(len(ATTACKS) + 1 + len(TEXTS)) // 10)):
            page.evaluate(unfold, "details")
            page.evaluate(unfold, ".more")
            if pages.is_enabled():
                pages.click()
        assert pages.is_disabled()
        assert page.evaluate("document.scrollingElement.scrollWidth") == 390


def test_a_line_of_a_megabyte_is_cut_until_all_of_it_is_asked_for(chromium, files):
    with opened(chromium, files["hostile"], f"#row={len(ATTACKS)}") as page:
        card = page.locator(".prompt.linked [data-sample='0']").first
        body = card.locator(".body").last
        assert len(body.inner_text()) < 2000
        card.get_by_role("button", name="show all 1,000,031 characters").last.click()
        assert body.evaluate("one => one.textContent") == LONG_LINE
        card.get_by_role("button", name="show less").click()
        assert len(body.inner_text()) < 2000

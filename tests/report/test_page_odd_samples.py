"""The sample browser in a real browser: signs in a search, names that JavaScript has, cut texts."""

from pathlib import Path

import pytest
from in_chromium import needs_chromium, opened, written
from test_page_samples import rows_shown, search_for

from rollout.report.page import Browser, Page, PromptView, SampleView, Section

pytestmark = needs_chromium
TEXTS = ["well-known", "3.5", "[x]", "C:\\dir", "f(y)", "a^b$", "{z}|w", "plain"]
NAMES = ["__proto__", "constructor", "toString"]


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    pages = {
        "signs": [[SampleView(text)] for text in TEXTS],
        "names": [[SampleView(text, finish_reason=name, verdict=name)]
                  for text, name in zip("abc", NAMES, strict=True)],
        "cut": [[SampleView("the start", is_cut=True), SampleView("all")]],
    }  # fmt: skip
    return written({name: page_of(rows) for name, rows in pages.items()},
                   tmp_path_factory.mktemp("odd"))  # fmt: skip


def page_of(rows) -> Page:
    prompts = [PromptView(i, [("user", "?")], [samples]) for i, samples in enumerate(rows)]
    return Page("odd", sections=[Section("samples", [Browser(prompts, num_rows=len(rows))])])


@pytest.mark.parametrize(
    ("query", "rows"),
    [("-", [0]), ("l-k", [0]), (".", [1]), ("[", [2]), ("x]", [2]), ("\\", [3]), ("(y)", [4]),
     ("^b$", [5]), ("}|", [6]), ("?", [*range(8)])],
)  # fmt: skip
def test_signs_in_a_search_stand_for_themselves(chromium, files, query, rows):
    """A search with a hyphen threw, since it is no sign to escape in a pattern of Unicode."""
    with opened(chromium, files["signs"]) as page:
        search_for(page, query)
        assert rows_shown(page) == rows
        assert set(page.locator("mark").all_inner_texts()) == {query}


def test_reasons_and_verdicts_named_as_properties_of_objects_are_shown_as_they_are(chromium, files):
    """The badge of `constructor` was the source of a function."""
    with opened(chromium, files["names"]) as page:
        assert page.locator(".badge").all_inner_texts() == NAMES
        assert page.locator(".mark").count() == 0
        page.get_by_label("finish reason", exact=True).select_option("constructor")
        assert rows_shown(page) == [1]


def test_the_copy_button_of_a_cut_text_says_so(chromium, files):
    with opened(chromium, files["cut"]) as page:
        titles = [b.get_attribute("title") for b in page.locator(".sample .copy").all()]
        assert "as much of it as this page has" in titles[0] and titles[1] is None

"""Shared fixtures: a browser, and example pages on disk."""

import pytest
from example_pages import run_page, sweep_page
from hostile_pages import hostile_page
from in_chromium import started_chromium, written


@pytest.fixture(scope="module")  # its event loop would be in the way of other files' tests
def chromium():
    with started_chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The pages of a run, of a sweep and of hostile texts, as files by name."""
    made = {"run": run_page(), "sweep": sweep_page(), "hostile": hostile_page()}
    return written(made, tmp_path_factory.mktemp("pages"))

"""Pages opened in Chromium from file://, with all that they ask for, report and run."""

import importlib.util
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from rollout.report.html import html_of
from rollout.report.page import Page

CHROMIUM = shutil.which("chromium")
HAS_PLAYWRIGHT = importlib.util.find_spec("playwright") is not None
DESKTOP = {"viewport": {"width": 1200, "height": 900}}
PHONE = {
    "viewport": {"width": 390, "height": 844}, "device_scale_factor": 2,
    "is_mobile": True, "has_touch": True,
}  # fmt: skip


MISSING = ([] if CHROMIUM else ["chromium"]) + ([] if HAS_PLAYWRIGHT else ["playwright"])
needs_chromium = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {MISSING}")


@contextmanager
def started_chromium() -> Iterator:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def written(pages: Mapping[str, Page], directory: Path) -> dict[str, Path]:
    """Write pages as NAME.html into a directory and return the files by name."""
    for name, page in pages.items():
        (directory / f"{name}.html").write_text(html_of(page), encoding="utf-8")
    return {name: directory / f"{name}.html" for name in pages}


@contextmanager
def opened(chromium, file: Path, fragment: str = "", **options) -> Iterator:
    """Open a page; at the end it must have asked for nothing, and reported and run nothing."""
    context = chromium.new_context(**{**DESKTOP, **options})
    page, seen = context.new_page(), []
    context.on("request", lambda request: seen.append(request.url))
    page.on("console", lambda message: seen.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: seen.append(str(error)))
    page.on("dialog", lambda dialog: (seen.append(dialog.message), dialog.dismiss()))
    context.on("page", lambda other: seen.append(f"opened {other.url}"))
    page.goto(f"{file.as_uri()}{fragment}")
    yield page
    page.wait_for_timeout(50)  # for whatever the last action started
    assert page.evaluate("window.ran") is None
    assert {url.partition("#")[0] for url in seen} == {file.as_uri()}
    context.close()

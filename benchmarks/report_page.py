"""Measure a page of 5,000 samples: its size, and how long a browser takes to open and search it.

    python benchmarks/report_page.py [--prompts 1250] [--samples 4] [--chars 1000] [--save]

Samples are random words with reasoning and verdicts. `open_s` is from the start of the navigation
to the first frame with prompts; `search_s` from a typed word to the page that shows its matches,
without the 0.15 s that the page waits for more letters. Medians of `--times`, each in a new
context of Chromium (needs playwright and a `chromium` on the path).
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from driver_overhead import report  # puts tests/support on the path

from example_pages import run_page  # isort: skip
from in_chromium import DESKTOP, started_chromium  # isort: skip

from rollout.report.html import html_of

READY = """() => new Promise(resolve => requestAnimationFrame(() => setTimeout(
  () => resolve(document.querySelectorAll('.prompt').length && performance.now() / 1000))))"""
SEARCH = """() => new Promise(resolve => {
  const list = document.querySelector('.samples .list');
  const start = performance.now();
  new MutationObserver(() => requestAnimationFrame(() => setTimeout(
    () => resolve((performance.now() - start) / 1000 - 0.15)))).observe(list, {childList: true});
  const search = document.querySelector('input[type=search]');
  search.value = 'dollars therefore';
  search.dispatchEvent(new Event('input'));
})"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=1250)
    parser.add_argument("--samples", type=int, default=4, help="of each prompt")
    parser.add_argument("--chars", type=int, default=1000, help="of a response, on average")
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--save", action="store_true", help="write to benchmarks/results/")
    arguments = parser.parse_args()
    page = run_page(arguments.prompts, arguments.samples, arguments.chars)
    start = time.perf_counter()
    html = html_of(page)
    figures = {"num_samples": arguments.prompts * arguments.samples, "chars": arguments.chars}
    figures |= {"html_of_s": round(time.perf_counter() - start, 3)}
    figures |= {"size_mb": round(len(html.encode()) / 1e6, 2), "times": arguments.times}
    report("report_page", "chromium", figures | opened(html, arguments.times), arguments.save)


def opened(html: str, times: int) -> dict[str, float | str]:
    """Return the browser's version and the median times to open and to search."""
    opens, searches = [], []
    with tempfile.TemporaryDirectory() as directory, started_chromium() as chromium:
        file = Path(directory) / "report.html"
        file.write_text(html, encoding="utf-8")
        for _ in range(times):
            context = chromium.new_context(**DESKTOP)
            page = context.new_page()
            page.goto(file.as_uri())
            opens.append(page.evaluate(READY))
            searches.append(page.evaluate(SEARCH))
            context.close()
        version = chromium.version
    return {
        "chromium": version,
        "open_s": round(statistics.median(opens), 3),
        "open_s_worst": round(max(opens), 3),
        "search_s": round(statistics.median(searches), 3),
    }


if __name__ == "__main__":
    main()

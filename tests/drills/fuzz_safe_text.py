"""Hostile text in prompts, responses, file names and values: the output hides nothing.

Model output is untrusted, and the sweep's page shows it as text. The expectations come from
Unicode's tables, not from the code: nothing printed holds a control character, a bidirectional
control or a tag outside a flag; letters, digits and marks are kept.
"""

import csv
import io
import random
import re
import unicodedata
from pathlib import Path

from fuzz import Outcome

from rollout.postprocess.lines import example_lines, fault_lines
from rollout.postprocess.tally import Example, FirstError, Tally
from rollout.report.html import html_of
from rollout.report.sweep.points import Point
from rollout.report.sweep.ranking import rank
from rollout.report.sweep.sections import page_of_sweep
from rollout.report.sweep.table import write_tables
from rollout.system.safe_text import one_line
from rollout.system.terminal import say

BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
LETTERS = "abcאבגسلامहिन्दी東京ไทย👩💻❤🏽é1=+-@\"<&'"
INVISIBLE = [*range(0x200B, 0x2010), *range(0x2028, 0x202F), *range(0x2060, 0x2070), 0xFEFF, 0xAD]
INVISIBLE += [*range(32), *range(127, 160), *range(0xE0000, 0xE0080), 0xFE0F, 0x3164, 0x61C, 0xD800]


def case(rng: random.Random, directory: Path) -> Outcome:
    text = "".join(
        chr(rng.choice(INVISIBLE)) if rng.random() < 0.3 else rng.choice(LETTERS)
        for _ in range(rng.randrange(1, 60))
    )
    text = rng.choice([text, f"={text}", chr(rng.choice(INVISIBLE)) + f"=1+{text}"])
    where = rng.choice(list(PLACES))
    shown = PLACES[where](text, directory)
    for place, c in enumerate(shown):
        if hides(shown, place) and c not in "\n\t":
            return Outcome(where, f"{text!r} is shown with {c!r} in {shown[-300:]!r}")
    letters = [c for c in text if unicodedata.category(c)[0] in "LN" and not ignorable(c)]
    if where == "terminal" and [c for c in letters if c not in shown]:
        return Outcome(where, f"letters of {text!r} are lost in {shown!r}")
    return Outcome(where)


def hides(shown: str, place: int) -> bool:
    c = shown[place]
    if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp"):
        return True
    if unicodedata.bidirectional(c) in BIDI or c in "\u200b\u200e\u200f\u2060\ufeff\u061c\u3164":
        return True
    if 0xE0000 <= ord(c) <= 0xE007F:
        return not re.search("\U0001f3f4[\U000e0061-\U000e007a]*\\Z", shown[:place])
    return c in "\u200c\u200d\ufe0f" and not ord(shown[place - 1 : place] or "a") > 0x2FF


def ignorable(c: str) -> bool:
    return c in "\u3164\u115f\u1160\uffa0"


def on_terminal(text: str, directory: Path) -> str:
    stream = io.StringIO()
    say(text, stream)
    return stream.getvalue()


def in_preview(text: str, directory: Path) -> str:
    return one_line(text, 80)


def in_examples(text: str, directory: Path) -> str:
    tally = Tally(1.0)
    tally.examples[:] = [Example(0, 0, "wrong", text, text, text, text)]
    tally.faults.clear()
    tally.faults["x"] = FirstError(0, 0, text, text)
    return "\n".join([*example_lines(tally), *fault_lines(tally)])


def on_page(text: str, directory: Path) -> str:
    point = Point(text, {"sampling.stop": text}, directory, "failed", text)
    page = page_of_sweep(directory, [point], rank([point], "output_tokens_per_s"))
    return html_of(page).partition("<body")[2].partition("<script")[0]


def in_csv(text: str, directory: Path) -> str:
    point = Point(text, {"sampling.stop": text}, directory, "failed", text)
    write_tables(directory, [point], rank([point], "output_tokens_per_s"))
    with (directory / "sweep.csv").open(encoding="utf-8", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not any(cell.lstrip().startswith(("=", "@")) for cell in cells), cells
    return "\n".join(cells)


PLACES = {
    "terminal": on_terminal,
    "preview": in_preview,
    "examples": in_examples,
    "page": on_page,
    "csv": in_csv,
}

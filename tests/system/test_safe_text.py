"""Untrusted text: control, reordering and invisible characters are escaped; all scripts stay."""

import pytest

from rollout.report.html import html_of
from rollout.report.page import Page
from rollout.system.safe_text import printable, printable_text

TURNS = [*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C]
HIDES = [0x200B, 0x2060, 0xFEFF, 0x2028, 0x2029, 0xAD, 0x3164, 0xE0001, 0xE0041, 0x7F, 0x85, 0x1B]
WRITING = {
    "Hebrew": "שלום עולם",
    "Persian with non-joiners": "می\u200cخواهم",
    "Hindi with joiners": "क्\u200dष",
    "Arabic with marks": "كِتَابٌ",
    "decomposed": "e\u0301 n\u0303",
    "Thai": "ภาษาไทยที่นี่",
    "a family and a skin": "👨‍👩‍👧‍👦 👩🏽‍💻",
    "variants": "❤️ ©️ 1️⃣",
    "the flag of Wales": "🏴\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f",
    "ideographs": "葛\U000e0100城　東京",
    "French spaces": "« oui\u00a0» 10\u202f000",
}


@pytest.mark.parametrize("code", [*TURNS, *HIDES])
def test_what_turns_a_line_around_or_can_not_be_seen_is_written_out(code):
    """U+202E in a response stayed in the pages' cells, and reversed them."""
    escape = f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
    escape = escape if code < 65536 else f"\\U{code:08x}"
    assert printable(f"ab{chr(code)}cd") == f"ab{escape}cd"
    shown = html_of(Page("t", [f"ab{chr(code)}cd"], f"ef{chr(code)}gh"))
    assert f"ab{escape}cd" in shown and f"ef{escape}gh" in shown and chr(code) not in shown


@pytest.mark.parametrize("name", WRITING)
def test_the_writing_of_every_script_stays_as_it_is(name):
    """Joiners in Persian and in emoji were escaped on a terminal."""
    assert printable(WRITING[name]) == WRITING[name]


def test_what_a_script_needs_is_hidden_nowhere_else():
    assert printable("ad\u200dmin") == r"ad\u200dmin"
    assert printable("x\ufe0f\ufe0f") == r"x\ufe0f\ufe0f"
    assert printable("❤\ufe0f\ufe0f") == "❤\ufe0f" + r"\ufe0f"
    assert printable("a" + "\u0301" * 30).count("\u0301") == 8


def test_lines_and_tabs_stay_in_a_text_and_not_on_a_line():
    assert printable_text("a\n\tb\r\x00") == "a\n\tb\\r\\x00"
    assert printable("a\n\tb") == r"a\n\tb"

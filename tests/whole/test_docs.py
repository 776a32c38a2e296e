"""docs/memory.md against the planner: what it shows is what the commands print."""

import re
from urllib.parse import urlsplit

import pytest
from doc_commands import PAGE, SKIP, answer, blocks, rewritten

TEXT = PAGE.read_text()
BLOCKS = list(blocks(TEXT))
QUESTIONS = re.findall(r"^### (.+)$", TEXT, re.MULTILINE)
THREADS = re.compile(r"(?:/[\w.-]+/[\w.-]+/(?:issues|pull|discussions)|/t/[\w-]+)/\d+")
HINT = "to put the current figures in: python tests/support/doc_commands.py --write"


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: " ".join(block.words))
def test_each_line_shown_is_printed_in_this_order(block):
    printed = iter(answer(block.words))
    shown = [line for line in block.shown if line != SKIP]
    assert shown
    for line in shown:
        assert line in printed, f"{line!r} is not printed; {HINT}"  # consumes what came before it


def test_putting_current_figures_in_changes_nothing_where_they_are_current():
    assert rewritten(TEXT) == TEXT, HINT


def test_each_question_is_asked_in_a_thread_and_answered_by_one_command():
    parts = re.split(r"^### ", TEXT, flags=re.MULTILINE)[1:]
    assert len(parts) == len(QUESTIONS) == len(set(QUESTIONS)) >= 18
    for part in parts:
        assert len(list(blocks(part))) == 1, part
        assert "](https://" in part.partition("```")[0], part


def test_every_link_is_a_thread():
    links = re.findall(r"https?://[^\s)]+", TEXT)
    assert links
    for link in map(urlsplit, links):
        assert link.scheme == "https" and link.netloc in ("github.com", "discuss.vllm.ai"), link
        assert THREADS.fullmatch(link.path), link


def test_every_command_names_its_device():
    for block in BLOCKS:
        assert any(word.startswith("device=") for word in block.words), block.typed
    assert TEXT.count("\n$ ") == len(BLOCKS)

"""The pool keeps the order, blames exactly the failing response, and leaves no process behind."""

import time

import pytest
from processes import children_with

from rollout.config.sections import postprocess as s
from rollout.errors import RolloutError, UserError
from rollout.postprocess.scoring.pool import Pool
from rollout.postprocess.scoring.process import Lot
from rollout.postprocess.scoring.scorers import Response

FUNCTION = """
import ctypes, os, re, sys, time
def f(text, row):
    print("noise")
    if text == "sleep": time.sleep(600)
    if text == "regex": re.match("(a+)+$", "a" * 60 + "b")
    if text == "kill": os.kill(os.getpid(), 9)
    if text == "exit": os._exit(3)
    if text == "segv": ctypes.string_at(0)
    if text == "raise": raise ValueError("boom")
    if text == "quit": sys.exit(1)
    if text == "alloc": return len("x" * 10**12)
    if text == "nan": return float("nan")
    if text == "surrogate": return {"score": 1, "extracted": "\\ud800"}
    if text == "pid": return os.getpid()
    return float(text)
"""


@pytest.fixture
def chosen(tmp_path):
    (tmp_path / "mine.py").write_text(FUNCTION)

    def make(**more):
        function = s.Function(function=f"{tmp_path}/mine.py:f")
        return s.Postprocess(scorer="python", python=function, **more)

    return make


def marks(settings, texts, num_workers=1, lot_size=1000):
    lots = [texts[i : i + lot_size] for i in range(0, len(texts), lot_size)]
    with Pool(settings, num_workers) as pool:
        made = (Lot(None, [(Response(text), {}) for text in lot], 1) for lot in lots)
        return [mark for lot in pool.marked(made) for mark in lot.marks]


def children():
    return children_with("worker")


def test_marks_come_in_the_order_of_the_responses(chosen):
    texts = [str(i) for i in range(3000)]
    found = marks(chosen(), texts, num_workers=2, lot_size=70)
    assert [mark.score for mark in found] == list(range(3000))


def test_an_error_is_recorded_for_exactly_its_response(chosen):
    faults = {
        "sleep": "timeout_s=1", "regex": "timeout_s=1", "kill": "SIGKILL", "exit": "exit code 3",
        "segv": "SIGSEGV", "raise": "ValueError: boom", "quit": "SystemExit",
        "alloc": "MemoryError", "nan": "nan", "word": "could not convert",
    }  # fmt: skip
    texts = [text for fault in faults for text in ("1", fault)] + ["1"]
    found = marks(chosen(timeout_s=1.0), texts)
    assert [mark.score for mark in found[::2]] == [1.0] * (len(faults) + 1)
    for mark, fragment in zip(found[1::2], faults.values(), strict=True):
        assert mark.score is None and fragment in mark.error
    assert not children()


def test_text_that_no_file_can_hold_is_cleaned(chosen):
    assert marks(chosen(), ["surrogate"])[0].extracted == "?"


def test_workers_are_started_once(chosen):
    found = marks(chosen(), ["pid"] * 400, num_workers=2, lot_size=10)
    assert len({mark.score for mark in found}) <= 2


def test_the_lots_read_ahead_are_bounded_while_one_is_stuck(chosen):
    num_read = 0

    def lots():
        nonlocal num_read
        for text in ["sleep", *["1"] * 5000]:
            num_read += 1
            yield Lot(None, [(Response(text), {})], 1)

    with Pool(chosen(timeout_s=2.0), 2) as pool:
        next(pool.marked(lots()))
        assert 10 < num_read < 200


def test_leaving_early_ends_the_workers_within_a_moment(chosen):
    began = time.monotonic()
    with pytest.raises(ZeroDivisionError), Pool(chosen(), 2, _raise_after(3.0)) as pool:
        list(pool.marked([Lot(None, [(Response("sleep"), {})] * 8, 1)]))
    assert time.monotonic() - began < 10
    assert not children()


def _raise_after(seconds):
    end = time.monotonic() + seconds

    def poll():
        if time.monotonic() > end:
            raise ZeroDivisionError

    return poll


def test_a_scorer_that_cannot_be_loaded_is_refused_before_any_work(chosen):
    settings = chosen()
    settings.python.function = settings.python.function[:-1] + "g"
    with pytest.raises(UserError, match="no function 'g'"), Pool(settings, 2):
        pass
    assert not children()


def test_a_worker_that_dies_at_its_start_ends_the_run_with_advice(chosen):
    with pytest.raises(RolloutError, match=r"memory_gib=0\.001 enough"):
        marks(chosen(memory_gib=0.001), ["1"])


def test_a_worker_that_dies_between_two_responses_does_not_stop_the_others(tmp_path):
    """A thread that a scorer left running may end each worker later."""
    (tmp_path / "bomb.py").write_text(
        "import os, threading\n"
        "def f(text, row):\n"
        "    if text == 'bomb': threading.Timer(0.01, os._exit, [9]).start()\n"
        "    return 1\n"
    )
    function = s.Function(function=f"{tmp_path}/bomb.py:f")
    found = marks(s.Postprocess(scorer="python", python=function), ["a", "bomb"] + ["a"] * 20)
    assert len(found) == 22
    assert found[0].score == 1

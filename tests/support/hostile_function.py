"""A scorer that does the worst for each word of a row's column `acts`, and the expected results.

`f` is the function for `python.function=`. EXPECTED gives for each word the score that it must get,
or `error` or `unjudged`. The text of a response alone decides which word it gets.
"""

import contextlib
import decimal
import fractions
import math
import os
import signal
import sys
import time
import zlib

import numpy  # imported here, because the first call is timed


class BadText(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class WorseText(Exception):
    def __str__(self):
        raise SystemExit(3)


class NoPickle(Exception):
    def __reduce__(self):
        raise TypeError("no pickle")


class OddText(str):
    def __getitem__(self, place):
        return None

    def encode(self, *arguments, **more):
        return None


class OddDict(dict):
    def get(self, key, default=None):
        raise KeyboardInterrupt


class Half:
    def __float__(self):
        return 0.5


def throw(error):
    raise error


def fork(is_held, is_left):
    if not os.fork() and is_held:
        time.sleep(60)
        os._exit(0)
    return os._exit(5) if is_left else 1


def write_everywhere():
    for number in range(3, 1024):  # a process with many open files has pipes far up
        with contextlib.suppress(OSError):
            os.write(number, b"\0\0\0\4abcd")
    return 1


def numpy_value(name, *arguments):
    return getattr(numpy, name)(*arguments)


def recurse():
    return recurse()


def spin():
    while True:
        pass


ACTS = {  # word: what it does, expected result
    "one": (lambda: 1, 1.0),
    "zero": (lambda: 0.0, 0.0),
    "true": (lambda: True, 1.0),
    "quarter": (lambda: decimal.Decimal("0.25"), 0.25),
    "half": (lambda: fractions.Fraction(1, 2), 0.5),
    "half_object": (Half, 0.5),
    "negative": (lambda: -3, -3.0),
    "hundred": (lambda: {"score": 100, "extracted": 7, "compared": None}, 100.0),
    "huge": (lambda: 1.7e308, 1.7e308),
    "huge_negative": (lambda: -1.7e308, -1.7e308),
    "tiny": (lambda: 5e-324, 5e-324),
    "minus_zero": (lambda: -0.0, 0.0),
    "numpy": (lambda: numpy_value("float32", 0.5), 0.5),
    "numpy_bool": (lambda: numpy_value("bool_", True), 1.0),
    "odd_texts": (lambda: {"score": 1, "extracted": OddText("a"), "compared": "\ud800"}, 1.0),
    "prints": (lambda: print("x" * 10**6) or 1, 1.0),
    "cwd": (lambda: os.chdir("/") or 1, 1.0),
    "fork": (lambda: fork(False, False), 1.0),
    "fork_held": (lambda: fork(True, False), 1.0),
    "none": (lambda: None, "unjudged"),
    "none_in_dict": (lambda: {"score": None}, "unjudged"),
    "inf": (lambda: math.inf, "error"),
    "minus_inf": (lambda: -math.inf, "error"),
    "nan": (lambda: {"score": math.nan}, "error"),
    "large_int": (lambda: 10**400, "error"),
    "large_fraction": (lambda: fractions.Fraction(10**400), "error"),
    "large_decimal": (lambda: decimal.Decimal("1e999"), "error"),
    "signaling": (lambda: decimal.Decimal("sNaN"), "error"),
    "text": (lambda: "1", "error"),
    "complex": (lambda: 1j, "error"),
    "numpy_complex": (lambda: numpy_value("complex64", 1), "error"),
    "array": (lambda: numpy_value("array", [1.0]), "error"),
    "list": (lambda: [1], "error"),
    "object": (object, "error"),
    "no_score": (lambda: {"points": 1}, "error"),
    "odd_dict": (lambda: OddDict(score=1), "error"),
    "generator": (lambda: (x for x in [1]), "error"),
    "exit": (lambda: sys.exit(0), "error"),
    "interrupt": (lambda: throw(KeyboardInterrupt()), "error"),
    "base": (lambda: throw(BaseException("\ud800\x1b[31m")), "error"),
    "bad_text": (lambda: throw(BadText()), "error"),
    "worse_text": (lambda: throw(WorseText()), "error"),
    "no_pickle": (lambda: throw(NoPickle()), "error"),
    "long_text": (lambda: throw(ValueError("x\n" * 10**6)), "error"),
    "recurse": (recurse, "error"),
    "dies": (lambda: os._exit(0), "error"),
    "killed": (lambda: os.kill(os.getpid(), signal.SIGKILL), "error"),
    "fork_and_die": (lambda: fork(True, True), "error"),
    "closes_all": (lambda: os.closerange(3, 256) or 1, "error"),
    "writes_everywhere": (write_everywhere, "error"),
    "memory": (lambda: len(bytearray(10**11)), "error"),
    "hangs": (spin, "error"),
    "stops": (lambda: os.kill(os.getpid(), signal.SIGSTOP), "error"),
}
EXPECTED = {word: outcome for word, (_, outcome) in ACTS.items()}
SLOW = ("hangs", "stops")  # they take timeout_s
DEADLY = ("dies", "killed", "fork_and_die", "closes_all", "writes_everywhere")  # for their worker


def word_of(response, words):
    return words[zlib.crc32(response.encode(errors="replace")) % len(words)]


def f(response, row):
    words = row["acts"]
    assert row.pop("untouched") == "yes"  # missing if an earlier call changed the row
    found = ACTS[word_of(response, words)][0]()
    words.clear()
    return found

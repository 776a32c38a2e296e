"""The conventions of programming contests: how output is compared, what need not be imported."""

import re
from decimal import Context, Decimal, DecimalException
from functools import cache

from rollout.postprocess.scoring.code.syntax import missing

TOLERANCE = Decimal("1e-6")  # absolute or relative, as judges of contests have it
INTEGER = re.compile(r"[+-]?[0-9]+")
NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
WRAPPED = re.compile(r"([\[({\"']*)(.*?)([\])}\"',;:]*)", re.DOTALL)
EXACT = Context(prec=60)
# The harnesses of APPS and LiveCodeBench import these before every program.
MODULES = ("sys", "io", "os", "re", "math", "string", "time", "itertools", "functools", "operator",
           "collections", "heapq", "bisect", "random", "copy", "json", "datetime", "fractions",
           "decimal", "statistics", "typing")  # fmt: skip
MEMBERS_OF = ("typing", "collections", "itertools", "functools", "heapq", "bisect", "math",
              "string", "random", "operator", "copy", "re", "fractions", "decimal", "statistics",
              "datetime", "sys", "io")  # fmt: skip


def is_same_output(printed: str, wanted: str) -> bool:
    """Equal word by word: space is all one, and numbers with a fraction may differ by 1e-6."""
    found, right = printed.split(), wanted.split()
    return len(found) == len(right) and all(map(_is_same, found, right))


def _is_same(found: str, right: str) -> bool:
    if found == right:
        return True
    (open_a, a, close_a), (open_b, b, close_b) = (
        WRAPPED.fullmatch(word).groups() for word in (found, right)
    )
    if (open_a, close_a) != (open_b, close_b):
        return False
    if not NUMBER.fullmatch(a) or not NUMBER.fullmatch(b):
        return False
    if INTEGER.fullmatch(a) and INTEGER.fullmatch(b):
        return False  # integers are exact, as texts: 010 may be a word of bits
    try:
        x, y = EXACT.create_decimal(a), EXACT.create_decimal(b)
        difference = abs(EXACT.subtract(x, y))
        # An integer may be large: a relative difference would forgive a rounded one.
        most = TOLERANCE if INTEGER.fullmatch(b) else TOLERANCE * max(Decimal(1), abs(y))
        return difference <= most
    except DecimalException:
        return False


def imports_for(program: str) -> str:
    """Imports, in one line, of names that a program uses, never defines and need not import."""
    known = _imports()
    lines = [known[name] for name in sorted(missing(program)) if name in known]
    return "; ".join(lines)


@cache
def _imports() -> dict[str, str]:
    import importlib

    known = {"np": "import numpy as np"}
    for module in MEMBERS_OF:
        for name in dir(importlib.import_module(module)):
            if not name.startswith("_"):
                known.setdefault(name, f"from {module} import {name}")
    return known | {module: f"import {module}" for module in MODULES}

"""Conventions of programming contests: how output is compared, which imports are implicit."""

import importlib
import re
from decimal import Context, Decimal, DecimalException
from functools import cache

from rollout.postprocess.scoring.code.syntax import missing

TOLERANCE = Decimal("1e-6")  # absolute or relative, as in contest judges
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


def is_same_output(printed: str, expected: str) -> bool:
    """Whether all words are equal. Whitespace is ignored, and floats may differ by 1e-6."""
    found, right = printed.split(), expected.split()
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
        return False  # integers are compared as text: 010 may be a bit string
    try:
        x, y = EXACT.create_decimal(a), EXACT.create_decimal(b)
        difference = abs(EXACT.subtract(x, y))
        # Integers may be large, so a relative tolerance would accept a rounded one.
        most = TOLERANCE if INTEGER.fullmatch(b) else TOLERANCE * max(Decimal(1), abs(y))
        return difference <= most
    except DecimalException:
        return False


def imports_for(program: str) -> str:
    """Return one line of imports for names that a program uses but does not define or import."""
    known = _imports()
    lines = [known[name] for name in sorted(missing(program)) if name in known]
    return "; ".join(lines)


@cache
def _imports() -> dict[str, str]:
    known = {"np": "import numpy as np"}
    for module in MEMBERS_OF:
        for name in dir(importlib.import_module(module)):
            if not name.startswith("_"):
                known.setdefault(name, f"from {module} import {name}")
    return known | {module: f"import {module}" for module in MODULES}

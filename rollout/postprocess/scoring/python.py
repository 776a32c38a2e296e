"""scorer=python: a user's function, called with the response and the row's columns.

It returns a finite number, a bool, None (the row can't be judged), or a dict with `score` and
optionally `extracted` and `compared`. An exception, or a value of another kind, is the sample's
error. Each call gets its own copy of the row.
"""

import importlib
import importlib.util
import inspect
import math
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rollout.config.sections.postprocess import Postprocess
from rollout.errors import UserError, did_you_mean
from rollout.postprocess.scoring.function import parse_name, refuse_absent
from rollout.postprocess.scoring.scorers import (
    Mark,
    Response,
    Scorer,
    Unscorable,
    Verdict,
    error_text,
)


def columns(settings: Postprocess) -> dict[str, str] | None:
    """Return None: all columns except the responses."""
    return None


def check(settings: Postprocess) -> None:
    """Raise UserError if there clearly is no such function; nothing is imported."""
    refuse_absent(settings.python.function)


def load(settings: Postprocess) -> Scorer:
    """Import the function. Raises UserError if it does not exist or can't be imported."""
    function = find(settings.python.function)
    last: tuple[Any, bytes] = None, b""

    def score(response: Response, row: dict[str, Any]) -> Mark:
        nonlocal last
        if last[0] is not row:  # samples of one row follow one another
            last = row, pickle.dumps(row)
        return to_mark(function(response.text, pickle.loads(last[1])))

    return score


def find(text: str | None) -> Callable[[str, dict[str, Any]], Any]:
    """Import and return the function that `module:function` or `file.py:function` names."""
    refuse_absent(text)
    source, name, file, module, start_dir = parse_name(text)
    value = f"python.function={text}"
    sys.path.insert(0, str(file.parent if file else start_dir))
    try:
        module = _module(file) if file else importlib.import_module(module)
    except BaseException as error:  # a user's file may raise anything
        reason = error_text(error)
        raise UserError(f"{value}: {source} can't be imported ({reason}); correct it") from error
    function = getattr(module, name, None)
    if not callable(function):
        known = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        guess = did_you_mean(name, known)
        raise UserError(f"{value}: {source} has no function {name!r}.{guess} Name one it defines")
    return function


def _module(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)  # dataclasses and pickle look for it
    spec.loader.exec_module(module)
    return module


def to_mark(value: Any) -> Mark:
    """Return the Mark of what the function returned, an error if that is not a finite number.

    Raises Unscorable for None.
    """
    extracted = compared = None
    if isinstance(value, dict):
        if "score" not in value:
            keys = ", ".join(map(repr, list(value)[:5])) or "nothing"
            return _no_score(f"a dict without 'score'; it has {keys}")
        extracted, compared, value = value.get("extracted"), value.get("compared"), value["score"]
    if value is None:
        raise Unscorable("the function returned None: this row can't be judged")
    kind = type(value).__name__
    if inspect.isawaitable(value) or inspect.isasyncgen(value) or inspect.isgenerator(value):
        if inspect.iscoroutine(value):
            value.close()  # else Python warns that it was never awaited
        return _no_score(f"a {kind}, not a score; define it with def, without async and yield")
    # float() takes a text of digits and an array of one number, but these are mistakes.
    is_other = isinstance(value, str | bytes | bytearray) or getattr(value, "shape", ()) != ()
    sign = getattr(getattr(value, "dtype", None), "kind", "f")  # numpy's: also complex and dates
    try:
        score = None if is_other or sign not in "biuf" else float(value)
    except OverflowError:
        return _no_score(f"a number too large for a score ({kind})")
    except TypeError:
        score = None
    except ValueError:  # Decimal's signaling NaN
        score = math.nan
    if score is None:
        return _no_score(f"{kind}, not a number, bool, None or dict")
    if not math.isfinite(score):
        return _no_score(f"{score}, not a finite number")
    texts = [None if text is None else str(text) for text in (extracted, compared)]
    return Mark(score, texts[0], None, texts[1])


def _no_score(what: str) -> Mark:
    return Mark(None, None, f"the function returned {what}", verdict=Verdict.error)

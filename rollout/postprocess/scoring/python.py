"""scorer=python: a function of the user's, given the response and the row's columns.

It returns a finite number, a bool, None (the row can't be judged), or a dict with `score` and, if
it likes, `extracted` and `compared`. What it raises is the sample's error, and so is a value of
another kind. Each call gets a row of its own: what it changes there is gone with it.
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
from rollout.postprocess.scoring.function import named, refuse_absent
from rollout.postprocess.scoring.scorers import Mark, Response, Scorer, Unscorable, Verdict, told


def columns(settings: Postprocess) -> dict[str, str] | None:
    """None: all of them, but the responses."""
    return None


def check(settings: Postprocess) -> None:
    """Raise UserError where there clearly is no such function; nothing is imported."""
    refuse_absent(settings.python.function)


def load(settings: Postprocess) -> Scorer:
    """Raises UserError where there is no such function, or its file can't be imported."""
    function = find(settings.python.function)
    last: tuple[Any, bytes] = None, b""

    def score(response: Response, row: dict[str, Any]) -> Mark:
        nonlocal last
        if last[0] is not row:  # samples of one row follow one another
            last = row, pickle.dumps(row)
        return to_mark(function(response.text, pickle.loads(last[1])))

    return score


def find(text: str | None) -> Callable[[str, dict[str, Any]], Any]:
    """The function that `module:function` or `file.py:function` names, imported."""
    refuse_absent(text)
    place, name, file, module, start_dir = named(text)
    value = f"python.function={text}"
    sys.path.insert(0, str(file.parent if file else start_dir))
    try:
        module = _module(file) if file else importlib.import_module(module)
    except BaseException as error:  # whatever a user's file does
        reason = told(error)
        raise UserError(f"{value}: {place} can't be imported ({reason}); correct it") from error
    function = getattr(module, name, None)
    if not callable(function):
        known = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        guess = did_you_mean(name, known)
        raise UserError(f"{value}: {place} has no function {name!r}.{guess} Name one it defines")
    return function


def _module(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)  # dataclasses and pickle look for it
    spec.loader.exec_module(module)
    return module


def to_mark(value: Any) -> Mark:
    """What the function returned as a Mark: an error where that is no finite number.

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
            value.close()  # else Python warns that nobody awaited it
        return _no_score(f"a {kind}, not a score; define it with def, without async and yield")
    # A text of digits and an array of one number would pass for numbers, and are a slip.
    is_other = isinstance(value, str | bytes | bytearray) or getattr(value, "shape", ()) != ()
    sign = getattr(getattr(value, "dtype", None), "kind", "f")  # numpy's: complex, dates, texts
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

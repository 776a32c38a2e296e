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

from rollout.errors import UserError, did_you_mean
from rollout.scoring.scorers import Mark, Response, Scorer, Unscorable, Verdict, told
from rollout.scoring.settings import Postprocess


def columns(settings: Postprocess) -> dict[str, str] | None:
    """None: all of them, but the responses."""
    return None


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
    """The function that `module:function` or `file.py:function` names."""
    form = "type python.function=file.py:function or module:function"
    if not text:
        raise UserError(f"scorer=python needs a function; {form}")
    place, colon, name = text.rpartition(":")
    value = f"python.function={text}"
    if not (colon and place and name):
        raise UserError(f"{value} does not say which function; {form}")
    is_file = place.endswith(".py")
    path = Path(place).expanduser()
    if is_file and not path.is_file():
        raise UserError(f"{value}: there is no file {path.absolute()}; {form}")
    sys.path.insert(0, str(path.absolute().parent) if is_file else str(Path.cwd()))
    try:
        module = _module(path) if is_file else importlib.import_module(place)
    except BaseException as error:  # whatever a user's file does
        if isinstance(error, ModuleNotFoundError) and not is_file and error.name == place:
            raise UserError(f"{value}: there is no module {place}; {form}") from error
        reason = told(error)
        raise UserError(f"{value}: {place} can't be imported ({reason}); correct it") from error
    function = getattr(module, name, None)
    if not callable(function):
        known = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        guess = did_you_mean(name, known)
        raise UserError(f"{value}: {place} has no function {name!r}.{guess} Name one it defines")
    return function


def _module(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path.absolute())
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

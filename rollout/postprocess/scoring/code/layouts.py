"""Read a row's tests in the layouts of known data sets, in full or not at all.

Asserts (MBPP), `check(candidate)` (HumanEval, EvalPlus), unittest classes (BigCodeBench), pytest
functions, pairs of input and output (APPS, LiveCodeBench), calls of a function by name (both).
"""

import ast
import base64
import binascii
import json
import pickletools
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from textwrap import dedent
from typing import Any

from rollout.postprocess.scoring.code.units import units_of
from rollout.postprocess.scoring.code.uses import uses_of
from rollout.postprocess.scoring.scorers import Unscorable

MAX_PACKED_BYTES = 256 << 20
TEXT_IN_PICKLE = {"PROTO", "FRAME", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE",
                  "MEMOIZE", "BINPUT", "PUT", "LONG_BINPUT", "STOP"}  # fmt: skip
INPUT_KEYS = ("input", "inputs", "stdin")
OUTPUT_KEYS = ("output", "outputs", "expected_output", "stdout")
IS_CALL = {"stdin": False, "stdin_stdout": False, "functional": True, "function_call": True}
KNOWN_KEYS = {*INPUT_KEYS, *OUTPUT_KEYS, "testtype", "type", "fn_name", "func_name", "language"}
LIKELY_COLUMNS = (
    "test", "tests", "test_list", "input_output", "public_test_cases", "private_test_cases",
    "test_cases", "testcases", "unit_tests", "test_code", "public_tests", "private_tests",
    "official_tests", "asserts",
)  # fmt: skip


class Kind(Enum):
    """How tests run."""

    asserts = "asserts"  # Python code, run after the program
    calls = "calls"  # calls of a function of the program
    stdin = "stdin"  # runs of the program with an input


@dataclass(frozen=True, slots=True)
class Tests:
    """The tests of one row."""

    kind: Kind
    items: list[Any]  # units, [arguments, accepted results], or (input, output)
    names: tuple[str, ...] = ()  # names that the program must define
    setup: str = ""  # code that runs before the program
    target: str | None = None  # the function to call, or to pass to check()
    modules: tuple[str, ...] = ()  # module names under which the tests import the program


def likely_column(names: list[str]) -> str | None:
    """Return the column that probably holds the tests, by its name."""
    return next((name for name in LIKELY_COLUMNS if name in names), None)


def tests_of(row: dict[str, Any], key: str, infer: Callable[[set[str]], str | None]) -> Tests:
    """Return the tests in column `key`. `infer` returns the function that the prompt asks for.

    Raises Unscorable if the tests can't run as intended.
    """
    value = _unpacked(row[key], key)
    if isinstance(value, dict) or (isinstance(value, list) and isinstance(value[0], dict)):
        return _of_pairs(value, row, key, infer)
    texts = value if isinstance(value, list) else [value]
    if not all(isinstance(text, str) for text in texts):
        raise Unscorable(
            f"{key} is a list of {type(texts[0]).__name__}s; tests must be texts or pairs of input "
            "and output"
        )
    texts = [dedent(text) if text.lstrip("\n")[:1] in (" ", "\t") else text for text in texts]
    setup = "\n".join(_lines(row.get(name)) for name in ("test_imports", "test_setup_code"))
    units = units_of(texts, key)
    target = row.get("entry_point") or None
    uses = uses_of(tuple(texts), setup, target)
    takes_candidate = any(unit.takes_candidate for unit in units)
    if takes_candidate and target is None:
        target = infer(set(uses.names))
        if target is None:
            raise Unscorable(
                f"{key} defines check(candidate), but no column entry_point names the function to "
                "check, and the prompt does not have exactly one unfinished function"
            )
    names = _roots(target) if takes_candidate else ()
    names += tuple(sorted(uses.names - set(names)))
    names = names or tuple(sorted(uses.builtins))  # MBPP has a function `sum`
    if not names and not any("globals" in unit.text for unit in units):
        raise Unscorable(f"{key} uses nothing that the program defines, so it would test nothing")
    return Tests(Kind.asserts, units, names, setup, target, uses.modules)


def _roots(target: str) -> tuple[str, ...]:
    """Return the names in an expression such as `Solution().f`."""
    names: list[str] = []
    with suppress(SyntaxError, ValueError):
        tree = ast.parse(target, mode="eval")
        names = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
    if not names:
        raise Unscorable(f"entry_point is {target!r}, which is not the name of a function")
    return tuple(dict.fromkeys(names))


def _lines(value: Any) -> str:
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value or "")


def _unpacked(value: Any, key: str) -> Any:
    """Return a value with JSON, Python literals and LiveCodeBench's packed text decoded."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        for read in (json.loads, ast.literal_eval):
            with suppress(ValueError, SyntaxError, RecursionError, MemoryError):
                value = read(value)
                break
    elif (
        isinstance(value, str) and len(value) > 16 and not set(" \n()") & set(value[:4096].strip())
    ):
        value = _unpickled(value, key)
    if isinstance(value, str) and not value.strip():
        value = None
    if not value or not isinstance(value, str | list | dict):
        shown = "null" if value is None else f"{value!r:.40}"
        raise Unscorable(f"{key} has no tests: it is {shown}")
    return value


def _unpickled(text: str, key: str) -> Any:
    """Decode JSON in a pickled text in zlib in base64. Pickle's opcodes are read, never run."""
    try:
        packed = base64.b64decode(text, validate=True)
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(packed, MAX_PACKED_BYTES)
    except (binascii.Error, ValueError, zlib.error):
        return text  # not that layout
    if unpacker.unconsumed_tail:
        raise Unscorable(f"{key} unpacks to more than {MAX_PACKED_BYTES >> 20} MiB")
    texts = [data.decode(errors="replace")] if data[:1] in b"[{" else []
    if not texts:
        try:
            for opcode, argument, _ in pickletools.genops(data):
                if opcode.name not in TEXT_IN_PICKLE:
                    raise Unscorable(
                        f"{key} holds a pickled object, which can run code when it is read; write "
                        "the tests as JSON"
                    )
                texts += [argument] if "UNICODE" in opcode.name else []
        except ValueError as error:
            raise Unscorable(f"{key} unpacks to neither JSON nor a pickled text") from error
    try:
        return json.loads(texts[0])
    except (ValueError, IndexError) as error:
        raise Unscorable(f"{key} unpacks to a text that is not JSON") from error


def _of_pairs(value: Any, row: dict[str, Any], key: str, infer: Callable[..., Any]) -> Tests:
    """Read pairs of input and output from one mapping of lists, or from a list of mappings."""
    cases = value
    if isinstance(value, dict):
        listed = value.get("test_cases")
        if isinstance(listed, list) and listed:
            return _of_pairs(listed, row, key, infer)
        inputs, outputs = _one_of(value, INPUT_KEYS, key), _one_of(value, OUTPUT_KEYS, key)
        if isinstance(inputs, str) or isinstance(outputs, str):
            inputs, outputs = [inputs], [outputs]
        if not isinstance(inputs, list) or not isinstance(outputs, list) or not inputs:
            raise Unscorable(f"{key} has no lists of inputs and outputs")
        if len(inputs) != len(outputs):
            raise Unscorable(f"{key} has {len(inputs)} inputs and {len(outputs)} outputs")
        rest = {k: v for k, v in value.items() if k not in (*INPUT_KEYS, *OUTPUT_KEYS)}
        cases = [rest | {"input": i, "output": o} for i, o in zip(inputs, outputs, strict=True)]
    if not all(isinstance(case, dict) for case in cases):
        raise Unscorable(f"{key} mixes pairs with other values")
    if unknown := {k for case in cases for k, v in case.items() if v is not None} - KNOWN_KEYS:
        raise Unscorable(f"{key} has pairs with the unknown key {min(unknown)!r}")
    called = {case.get("fn_name") or case.get("func_name") for case in cases} - {None, ""}
    types = {case.get("testtype") or case.get("type") for case in cases} - {None}
    if unknown := types - set(IS_CALL):
        raise Unscorable(
            f"{key}: testtype {min(map(str, unknown))!r} is unknown. Choose from: "
            f"{', '.join(IS_CALL)}"
        )
    is_call = {IS_CALL[t] for t in types} or {bool(called or row.get("fn_name"))}
    if len(is_call) > 1 or len(called) > 1:
        raise Unscorable(f"{key} mixes stdin tests with calls, or calls of several functions")
    pairs = [(_one_of(c, INPUT_KEYS, key), _one_of(c, OUTPUT_KEYS, key)) for c in cases]
    if is_call == {False}:
        return Tests(Kind.stdin, [(_as_text(i, key), _as_text(o, key)) for i, o in pairs])
    target = next(iter(called), None) or row.get("fn_name") or _name_in(row.get("metadata"))
    target = target or row.get("entry_point") or infer(set())
    if not target:
        raise Unscorable(
            f"{key} calls a function without giving its name; add a column fn_name, metadata or "
            "starter_code"
        )
    target = target.rpartition(".")[2]
    if all(isinstance(i, str) for i, _ in pairs):  # LiveCodeBench: each line is JSON
        items = [[_arguments(i, key), [_json(o, key)]] for i, o in pairs]
    else:  # APPS: lists of arguments; results may be wrapped in a list
        if not all(isinstance(i, list) for i, _ in pairs):
            raise Unscorable(f"{key} calls {target} with inputs that are not lists of arguments")
        is_wrapped = all(isinstance(o, list) and len(o) == 1 for _, o in pairs)
        items = [[i, [o, o[0]] if is_wrapped else [o]] for i, o in pairs]
    return Tests(Kind.calls, items, (target,), target=target)


def _one_of(case: dict[str, Any], names: tuple[str, ...], key: str) -> Any:
    found = [name for name in names if case.get(name) is not None]
    found = found or [name for name in names if name in case]
    if len(found) != 1:
        raise Unscorable(f"{key} has a test without {names[0]}")
    return case[found[0]]


def _as_text(value: Any, key: str) -> str:
    """Return an input or output as text: it is a text, a number, or a list of lines."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n".join(_as_text(line, key) for line in value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise Unscorable(f"{key} has an input or output that is not text: {value!r:.40}")


def _arguments(text: str, key: str) -> list[Any]:
    return [_json(line, key) for line in text.split("\n") if line.strip()]


def _json(value: Any, key: str) -> Any:
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError as error:
        raise Unscorable(f"{key} has an argument or result that is not JSON") from error


def _name_in(metadata: Any) -> str | None:
    """Return func_name from LiveCodeBench's column metadata, which is JSON."""
    with suppress(ValueError):
        metadata = json.loads(metadata) if isinstance(metadata, str) else metadata
    return metadata.get("func_name") if isinstance(metadata, dict) else None

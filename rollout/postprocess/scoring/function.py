"""Find the function that scorer=python names without importing any code of the user.

A module is searched first in the command's directory, as `python -m` does, or in the directory
written before it: `/home/me/project/rewards.math:score`. Refuses only what clearly
can't be imported; the worker that imports it finds the rest.
"""

import ast
import importlib.util
import os
import symtable
import sys
import warnings
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import NamedTuple

from rollout.errors import UserError, did_you_mean
from rollout.postprocess.scoring.imports import home_of, is_installed
from rollout.system.disk import expand_home
from rollout.system.storage.paths import is_remote

FORM = "type python.function=file.py:function or module:function"
# A module with these names may define names, or find submodules, that its text does not show.
DYNAMIC = frozenset(
    {"exec", "setattr", "globals", "vars", "locals", "modules", "f_globals", "__dict__",
     "__path__", "__getattr__", "__builtins__"}
)  # fmt: skip


class FunctionName(NamedTuple):
    """The parts of python.function: a function in a file, or in a module and where to search it."""

    source: str  # file or module as typed, before the colon
    name: str
    file: Path | None
    module: str = ""
    start_dir: Path = Path()


def parse_name(text: str | None) -> FunctionName:
    """Return the parts of python.function. Raises UserError if it names no function."""
    if not text:
        raise UserError(f"scorer=python needs a function; {FORM}")
    source, colon, name = text.rpartition(":")
    if not (colon and source and name):
        raise UserError(f"python.function={text} does not name a function; {FORM}")
    if is_remote(source):
        raise UserError(
            f"python.function={text}: Python imports from a disk; download the file, and {FORM}"
        )
    if source.endswith(".py"):
        return FunctionName(source, name, Path(expand_home(source)).absolute())
    start_dir, module = os.path.split(expand_home(source))
    return FunctionName(source, name, None, module, Path(start_dir).absolute())


def refuse_absent(text: str | None) -> None:
    """Raise UserError if there clearly is no such file, module or function."""
    wanted, file = parse_name(text), None
    value = f"python.function={text}"
    if wanted.file is not None:
        file = wanted.file
        if not file.is_file():
            raise UserError(f"{value}: there is no file {file}; {FORM}")
    else:
        try:
            spec = spec_of(wanted.module, [str(wanted.start_dir), *sys.path])
        except ModuleNotFoundError:
            raise UserError(
                f"{value}: there is no module {wanted.module} in {wanted.start_dir}, nor is it "
                f"installed; {FORM}"
            ) from None
        file = _source_of(spec)
    if file is None:
        return
    try:
        names = _names_in(file)
    except (SyntaxError, OSError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise UserError(
            f"{value}: {wanted.source} can't be imported ({reason}); correct it"
        ) from error
    except (ValueError, RecursionError, MemoryError):
        return
    if names is not None and wanted.name not in names:
        guess = did_you_mean(wanted.name, [name for name in names if not name.startswith("_")])
        raise UserError(
            f"{value}: {wanted.source} has no function {wanted.name!r}.{guess} Name one it defines"
        )


def name_relative_to(text: str, launch_dir: Path) -> str:
    """Return the name of a function, typed in `launch_dir`, for use from another directory.

    A file or module in that directory gets its path; an installed one keeps its name.
    """
    source, _, name = text.rpartition(":")
    try:
        if source.endswith(".py"):
            is_there = (launch_dir / source).exists()
        else:
            start_dir, module = os.path.split(launch_dir / source)
            own = spec_of(module, [start_dir], is_elsewhere=False)
            found = spec_of(module, [start_dir, *sys.path])
            is_there = own and found and own.origin == found.origin
    except (ImportError, OSError, ValueError):
        is_there = False
    return f"{launch_dir / source}:{name}" if is_there else text


def spec_of(module: str, where: list[str], is_elsewhere: bool = True) -> ModuleSpec | None:
    """Return a module's spec, or None if finding it would mean importing its package.

    With `is_elsewhere`, modules outside `where` count, too. Raises ModuleNotFoundError.
    """
    importlib.invalidate_caches()  # the file may be new
    spec = None
    for number, part in enumerate(module.split(".")):
        package, spec = spec, PathFinder.find_spec(part, where) if part else None
        if spec is None and part and number == 0 and is_elsewhere:
            try:
                spec = importlib.util.find_spec(part)  # built in, or found by another finder
            except (ImportError, ValueError, AttributeError):
                return None
        if spec is None:
            if package is not None and _may_add(package):
                return None
            raise ModuleNotFoundError(module)
        where = list(spec.submodule_search_locations or ())
    return spec


def _may_add(package: ModuleSpec) -> bool:
    """Return whether a module may have submodules elsewhere, as `os.path` does."""
    if package.origin is None:  # a directory without __init__.py
        return False
    file = _source_of(package)
    try:
        is_plain = file and not is_installed(home_of(file)) and _names_in(file) is not None
    except (SyntaxError, OSError, ValueError, RecursionError, MemoryError):
        return True
    return not is_plain


def _source_of(spec: ModuleSpec | None) -> Path | None:
    origin = spec and spec.origin
    return Path(origin) if origin and origin.endswith(".py") else None


def _names_in(file: Path) -> set[str] | None:
    """Return the names that a module's text defines, or None if it may define others.

    Raises SyntaxError, OSError, ValueError.
    """
    text = importlib.util.decode_source(file.read_bytes())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # importing the module shows its warnings
        tree, top = ast.parse(text, str(file)), symtable.symtable(text, str(file), "exec")
    for node in ast.walk(tree):
        name = getattr(node, "id", None) or getattr(node, "attr", None)
        is_starred = isinstance(node, ast.ImportFrom) and any(a.name == "*" for a in node.names)
        if is_starred or name in DYNAMIC or getattr(node, "name", None) in DYNAMIC:
            return None
    names, tables = set(), [top]
    while tables:
        table = tables.pop()
        tables += table.get_children()
        for symbol in table.get_symbols():
            is_bound = symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()
            if is_bound and (table is top or symbol.is_declared_global()):
                names.add(symbol.get_name())
    return names

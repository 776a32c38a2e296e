"""Find the user's files that a Python file imports, from its text: nothing is run.

Must not know what the files are for.
"""

import ast
import itertools
import os
import site
import sysconfig
from collections.abc import Iterable
from pathlib import Path


def imported_by(file: Path, start_dir: Path | None = None) -> list[Path]:
    """Return a Python file and the user's files that it imports, directly or not, sorted.

    Modules are searched in the file's directory, in the one above its package, and in `start_dir`.
    Importing `*`, or a module by a computed name, counts as importing all modules of the package.
    Modules found elsewhere and installed ones are left out: their versions identify them.
    """
    own = dict.fromkeys([file.parent, home_of(file), start_dir or Path.cwd()])
    roots = [root for root in own if not is_installed(root)]
    found, waiting = {}, [file]
    while waiting:
        path = waiting.pop()
        if path in found or not path.is_file():
            continue
        found[path] = None
        waiting.append(path.parent / "__init__.py")
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError, OSError, RecursionError, MemoryError):
            continue
        for level, name in _imports(tree):
            above = [path.parents[level - 1]] if 0 < level <= len(path.parents) else roots
            parts = [part for part in name.split(".") if part]
            if parts[-1:] == ["*"]:
                del parts[-1]
                waiting += (f for base in above for f in base.joinpath(*parts).glob("*.py"))
            for base, length in itertools.product(above, range(1, len(parts) + 1)):
                module = base.joinpath(*parts[:length])
                waiting += [module.with_name(f"{module.name}.py"), module / "__init__.py"]
    return sorted(found)


def home_of(file: Path) -> Path:
    """Return the directory that a Python file is imported from: the one above its package."""
    home = file.parent
    while (home / "__init__.py").is_file():
        home = home.parent
    return home


def is_installed(home: Path) -> bool:
    """Return whether this Python's packages or its own modules are in this directory."""
    places = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    places += [*site.getsitepackages(), site.getusersitepackages()]
    return os.path.realpath(home) in map(os.path.realpath, places)


def _imports(tree: ast.AST) -> Iterable[tuple[int, str]]:
    """Yield each import's number of leading dots and its name; import_module("name") counts."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield node.level, f"{node.module or ''}.{alias.name}"
        elif isinstance(node, ast.Call) and node.args:
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            text = _text(node.args[0])
            if called in ("import_module", "__import__") and isinstance(text, str):
                yield len(text) - len(text.lstrip(".")), text.lstrip(".")


def _text(node: ast.expr) -> object:
    """Return a literal's value; for f"package.{name}", `package.*`."""
    if isinstance(node, ast.JoinedStr) and node.values:
        known = getattr(node.values[0], "value", None)
        return f"{known.rpartition('.')[0]}.*" if isinstance(known, str) and "." in known else None
    return getattr(node, "value", None)

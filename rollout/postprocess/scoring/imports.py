"""Which files of the user's a Python file imports, read from its text: nothing is run.

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
    """A Python file and what it imports of the user's own, theirs included, each once.

    That is from its own directory, from that of the package it lies in, and from `start_dir`. Read
    from the text, so nothing is run: of a package from which `*` is imported, or a module by a name
    that is put together, all modules count. Those found elsewhere are not among them, nor those
    that are installed: there are thousands, and versions tell them apart.
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
    """The directory that a Python file is imported from: above the package it lies in."""
    home = file.parent
    while (home / "__init__.py").is_file():
        home = home.parent
    return home


def is_installed(home: Path) -> bool:
    """Whether this Python installs packages there, or its own modules lie there."""
    places = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    places += [*site.getsitepackages(), site.getusersitepackages()]
    return os.path.realpath(home) in map(os.path.realpath, places)


def _imports(tree: ast.AST) -> Iterable[tuple[int, str]]:
    """What is imported, and how many dots stand before it; import_module("name") counts."""
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
    """What a literal says; of f"package.{name}" the part that is known, and `*`."""
    if isinstance(node, ast.JoinedStr) and node.values:
        known = getattr(node.values[0], "value", None)
        return f"{known.rpartition('.')[0]}.*" if isinstance(known, str) and "." in known else None
    return getattr(node, "value", None)

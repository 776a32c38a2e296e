"""What a file holds, told cheaply: a digest that decides, and a stamp that says when to look.

A digest is of every byte. A stamp (size, times, inode) is the same only while nobody has written
to the file; where it differs, the digest is taken anew and compared. A directory counts by the
names and contents of what lies in it. Must not know what files are for.
"""

import ast
import hashlib
import itertools
import os
import site
import stat
import sysconfig
from collections.abc import Iterable
from pathlib import Path
from typing import Any

BLOCK = 1 << 20
NOTHING = "nothing"  # the digest of what is not there

Seen = dict[str, Any]  # {"stamp": [...], "digest": "..."}, fit for JSON


def stamp(path: Path) -> list:
    """What changes whenever the file, or one of the directory, is written, replaced or removed."""
    status = path.stat()
    if not stat.S_ISDIR(status.st_mode):
        return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
    return [[file.name, *stamp(file)] for file in sorted(path.iterdir())]


def digest(path: Path) -> str:
    """32 hex digits of the whole contents. Raises OSError."""
    if path.is_dir():
        found = hashlib.blake2b(digest_size=16)
        for file in sorted(path.iterdir()):
            found.update(os.fsencode(file.name) + b"\0" + digest(file).encode())
        return found.hexdigest()
    if not path.is_file():  # a pipe would never end
        return "no regular file"
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def seen(path: Path) -> Seen:
    """The file as it is now; what is not there counts as `nothing`."""
    try:
        before = stamp(path)
        return {"stamp": before, "digest": digest(path)}
    except OSError:
        return {"stamp": None, "digest": NOTHING}


def holds(path: Path, before: Any) -> bool:
    """Whether the file holds what it held when it was `seen`; reads it only where it was touched.

    `before` comes from a record and may be anything.
    """
    if not isinstance(before, dict):
        return False
    try:
        return stamp(path) == before.get("stamp") or digest(path) == before.get("digest")
    except OSError:
        return before.get("digest") == NOTHING


def all_seen(paths: Iterable[Path]) -> list[Seen]:
    """Files as they are now, in order, each with its name."""
    return [{"name": path.name} | seen(path) for path in paths]


def all_hold(paths: Iterable[Path], before: Any) -> bool:
    """Whether files of these names, in this order, were `all_seen`, and hold what they held then.

    They may have moved to another directory together.
    """
    paths = list(paths)
    if not isinstance(before, list) or len(before) != len(paths):
        return False
    return all(
        isinstance(entry, dict) and entry.get("name") == path.name and holds(path, entry)
        for path, entry in zip(paths, before, strict=True)
    )


class Watched:
    """Files that are read more than once, and must hold the same each time."""

    def __init__(self, paths: Iterable[Path]):
        """Note the stamps; raises OSError. No file is read before `take_digests`."""
        self._seen: dict[Path, Seen] = {path: {"stamp": stamp(path)} for path in paths}

    def take_digests(self) -> list[Path]:
        """Read each file once, from where on it is held to that; those touched before then."""
        touched = []
        for path, known in self._seen.items():
            if "digest" not in known:
                self._seen[path] = seen(path)
                if self._seen[path]["stamp"] != known["stamp"]:
                    touched.append(path)
        return touched

    def holds(self, path: Path) -> bool:
        """Whether the file holds what it held: it is read where it was touched. Raises OSError.

        Before `take_digests` it may hold anything.
        """
        known, now = self._seen[path], stamp(path)
        if now == known["stamp"]:
            return True
        if "digest" not in known:
            return path.is_file()
        if digest(path) != known["digest"]:
            return False
        known["stamp"] = now
        return True

    def seen(self, path: Path) -> Seen:
        """The file as it is held to be; of one that is not watched, as it is now."""
        return self._seen.get(path) or seen(path)


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
    places = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    places |= {*site.getsitepackages(), site.getusersitepackages()}
    return str(home) in places or os.path.realpath(home) in map(os.path.realpath, places)


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

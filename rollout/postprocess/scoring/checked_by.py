"""What scores depend on beside the rows: the scorer's own files, and the versions of libraries.

What a scorer's file imports from its own directory counts; a data file that it opens does not. Of
a scorer in an installed package the version counts.
"""

import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from rollout.config.fingerprint import to_plain
from rollout.config.sections.postprocess import Postprocess
from rollout.postprocess.scoring.function import Named, named, spec_of
from rollout.postprocess.scoring.imports import home_of, imported_by, is_installed
from rollout.system.version import VERSION

LIBRARIES = {
    "math": ("math-verify", "latex2sympy2_extended", "sympy"),
    "reasoning_gym": ("reasoning-gym",),
    "json_schema": ("jsonschema",),
}


def checked_by(settings: Postprocess) -> tuple[list[Path], dict[str, str]]:
    """The files that a scoring is made with, and the version of each package."""
    versions = {"rollout": VERSION}
    if settings.scorer in ("code", "python"):  # it runs what it checks, or is run
        versions["python"] = platform.python_version()
    for name in LIBRARIES.get(settings.scorer or "", ()):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # the scorer will say so
            versions[name] = "none"
    files = []
    if settings.scorer == "python" and (text := settings.python.function):
        wanted = named(text)
        file = wanted.file or _file_of(wanted)
        if is_installed(home := home_of(file)):
            files, versions = [file], versions | _versions_of(file.relative_to(home))
        else:
            files = imported_by(file, None if wanted.file else wanted.start_dir)
    if settings.scorer == "json_schema" and (schema := _file(settings.json_schema.schema)):
        files = [schema]
    return files, versions


def _versions_of(module: Path) -> dict[str, str]:
    """The versions of the packages that have put a file into the directory of packages."""
    top = module.parts[0].removesuffix(".py")
    return {name: metadata.version(name) for name in metadata.packages_distributions().get(top, ())}


def scored_so(settings: Postprocess | None) -> dict[str, Any] | None:
    """The settings that change scores or exports, as plain values; files by their names alone.

    Where these lie, and where things are written, is no part of it.
    """
    if settings is None:
        return None
    plain = to_plain(settings)
    del plain["input"], plain["output"], plain["workers"]
    del plain["export"]["path"], plain["export"]["overwrite"]
    if text := settings.python.function:
        place, colon, name = text.rpartition(":")
        plain["python"]["function"] = f"{Path(place).name}{colon}{name}"
    if schema := _file(settings.json_schema.schema):
        plain["json_schema"]["schema"] = schema.name
    return plain


def _file(text: str | None) -> Path | None:
    """The file that a text names, where it names one."""
    try:
        path = Path(text or "").expanduser().absolute()
        return path if text and path.is_file() else None
    except (OSError, ValueError, RuntimeError):  # too long for a name, and the like
        return None


def _file_of(wanted: Named) -> Path:
    """The file of a module, which is not imported for it."""
    try:
        found = spec_of(wanted.module, [str(wanted.start_dir), *sys.path])
    except ModuleNotFoundError:  # the scorer will say so
        found = None
    return Path(found.origin) if found and found.origin else Path(wanted.place)

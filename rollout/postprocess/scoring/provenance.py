"""The files and package versions, besides the rows, that scores depend on.

Includes what a scorer's file imports from its directory, but not data files that it opens. An
installed scorer counts by its package's version.
"""

import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from rollout.config.fingerprint import to_plain
from rollout.config.sections.postprocess import Postprocess
from rollout.errors import UserError
from rollout.postprocess.scoring.function import FunctionName, parse_name, spec_of
from rollout.postprocess.scoring.imports import home_of, imported_by, is_installed
from rollout.system.disk import path_of
from rollout.system.version import VERSION

LIBRARIES = {
    "math": ("math-verify", "latex2sympy2_extended", "sympy"),
    "reasoning_gym": ("reasoning-gym",),
    "json_schema": ("jsonschema",),
}


def files_and_versions(settings: Postprocess) -> tuple[list[Path], dict[str, str]]:
    """Return the files that a scoring uses, and the version of each package."""
    versions = {"rollout": VERSION}
    if settings.scorer in ("code", "python"):  # both run Python code
        versions["python"] = platform.python_version()
    for name in LIBRARIES.get(settings.scorer or "", ()):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # the scorer will report it
            versions[name] = "none"
    files = []
    if settings.scorer == "python" and (text := settings.python.function):
        wanted = parse_name(text)
        file = wanted.file or _file_of(wanted)
        if is_installed(home := home_of(file)):
            files, versions = [file], versions | _versions_of(file.relative_to(home))
        else:
            files = imported_by(file, None if wanted.file else wanted.start_dir)
    if settings.scorer == "json_schema" and (schema := _file(settings.json_schema.schema)):
        files = [schema]
    return files, versions


def _versions_of(module: Path) -> dict[str, str]:
    """Return the versions of the packages that installed this module."""
    top = module.parts[0].removesuffix(".py")
    return {name: metadata.version(name) for name in metadata.packages_distributions().get(top, ())}


def scoring_record(settings: Postprocess | None) -> dict[str, Any] | None:
    """Return the settings that change scores or exports, as plain values.

    Files are given by name only; paths of input and output are left out.
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
    """Return the file that a text names, or None."""
    try:
        path = path_of(text or "")
        return path if text and path.is_file() else None
    except (OSError, ValueError, UserError):  # such as a text too long for a file name
        return None


def _file_of(wanted: FunctionName) -> Path:
    """Return the file of a module without importing it."""
    try:
        found = spec_of(wanted.module, [str(wanted.start_dir), *sys.path])
    except ModuleNotFoundError:  # the scorer will report it
        found = None
    return Path(found.origin) if found and found.origin else Path(wanted.source)

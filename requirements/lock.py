"""Write cpu.txt and test.txt: every package the CPU set needs, pinned, from pyproject.toml.

    python requirements/lock.py

The pins are installed with `--no-deps`, so the packages that pyproject.toml lists under
[tool.rollout.lock] exclude are left out, and so are packages that only those need.
pip resolves the versions (`--dry-run --report`: nothing is installed).
"""

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETS = {"cpu.txt": ("cpu",), "test.txt": ("cpu", "test")}


def roots(extras: tuple[str, ...]) -> list[Requirement]:
    """Return the requirements that pyproject.toml states for these extras."""
    project = PROJECT["project"]
    lines = [*project["dependencies"]]
    for extra in extras:
        lines += project["optional-dependencies"][extra]
    return [Requirement(line) for line in lines]


def resolve(requirements: list[Requirement]) -> dict[str, dict]:
    """Return pip's choice for `requirements`: each package's metadata, by canonical name."""
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed"]
        command += ["--quiet", "--report", report.name, *map(str, requirements)]
        subprocess.run(command, check=True)
        installed = json.loads(Path(report.name).read_text())["install"]
    return {canonicalize_name(item["metadata"]["name"]): item["metadata"] for item in installed}


def reachable(requirements: list[Requirement], packages: dict[str, dict]) -> set[str]:
    """Return the names of `packages` that `requirements` need without the excluded ones."""
    exclude = set(PROJECT["tool"]["rollout"]["lock"]["exclude"])
    found: set[tuple[str, str]] = set()
    todo = [(r, extra) for r in requirements for extra in ("", *r.extras)]
    while todo:
        requirement, extra = todo.pop()
        name = canonicalize_name(requirement.name)
        if name in exclude or (name, extra) in found or name not in packages:
            continue
        found.add((name, extra))
        for line in packages[name].get("requires_dist", []):
            child = Requirement(line)
            if child.marker is None or child.marker.evaluate({"extra": extra}):
                todo += [(child, e) for e in ("", *child.extras)]
    return {name for name, _ in found}


def pins(extras: tuple[str, ...], packages: dict[str, dict]) -> str:
    names = sorted(reachable(roots(extras), packages))
    lines = [
        f"# {' + '.join(extras)} of pyproject.toml, for `pip install --no-deps -r`.",
        "# Written by requirements/lock.py on Python "
        f"{sys.version_info.major}.{sys.version_info.minor}; do not edit.",
    ]
    lines += PROJECT["tool"]["rollout"]["lock"]["alone"] if "test" in extras else []
    for name in names:
        # The index decides on a local version such as 2.13.0+cpu.
        version = re.sub(r"\+.*", "", packages[name]["version"])
        lines.append(f"{name}=={version}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    packages = resolve(roots(("cpu", "test")))
    for filename, extras in SETS.items():
        (ROOT / "requirements" / filename).write_text(pins(extras, packages))
        print(f"wrote requirements/{filename}")

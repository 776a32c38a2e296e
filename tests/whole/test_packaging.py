"""The installed packages are the declared ones, and the wheel contains the presets."""

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from processes import ROOT, environment

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXCLUDED = set(PROJECT["tool"]["rollout"]["lock"]["exclude"])
ALONE = {Requirement(line).name for line in PROJECT["tool"]["rollout"]["lock"]["alone"]}
SETS = {"cpu.txt": ("cpu",), "test.txt": ("cpu", "test")}


def pins(filename):
    lines = (ROOT / "requirements" / filename).read_text().splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def stated(extras):
    project = PROJECT["project"]
    lines = [*project["dependencies"]]
    for extra in extras:
        lines += project["optional-dependencies"][extra]
    return [Requirement(line) for line in lines]


def is_met(requirement, pinned):
    version = pinned.get(canonicalize_name(requirement.name))
    return version is not None and requirement.specifier.contains(version, prereleases=True)


@pytest.mark.parametrize("filename", SETS)
def test_the_pins_meet_what_pyproject_states(filename):
    unmet = [str(r) for r in stated(SETS[filename]) if not is_met(r, pins(filename))]
    assert not unmet, f"{unmet}: run python requirements/lock.py"


@pytest.mark.parametrize("filename", SETS)
def test_the_pins_are_complete_and_nothing_excluded_slips_in(filename):
    """They are installed with --no-deps, so everything that a package needs must be pinned."""
    pinned = pins(filename)
    assert not EXCLUDED & set(pinned)
    for name in pinned:
        if name in ALONE:
            continue
        for line in metadata.requires(name) or []:
            need = Requirement(line)
            if canonicalize_name(need.name) in EXCLUDED:
                continue
            if need.marker is None or need.marker.evaluate({"extra": ""}):
                need.specifier = type(need.specifier)(re.sub(r"\+\w+", "", str(need.specifier)))
                assert is_met(need, pinned), f"{name} needs {need}: run requirements/lock.py"


def test_the_installed_packages_are_the_pinned_ones():
    found = {n: metadata.version(n).split("+")[0] for n in pins("test.txt")}
    assert found == {n: v.split("+")[0] for n, v in pins("test.txt").items()}


def test_a_wheel_runs_from_any_directory(tmp_path):
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    site = tmp_path / "site"
    zipfile.ZipFile(next(tmp_path.glob("*.whl"))).extractall(site)
    code = "import rollout; print(rollout.__file__); from rollout.__main__ import main; main()"
    words = ["engine=scripted", "tracking=none"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=tmp_path,
        env=environment(PYTHONPATH=str(site)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.splitlines()[0]).is_relative_to(site)
    assert "8 rows, 32 samples" in done.stdout
    assets = Path("rollout/report/assets")
    assert {f.name for f in (site / assets).iterdir()} == {
        f.name for f in (ROOT / assets).iterdir()
    }


def test_the_version_is_one():
    import rollout

    assert rollout.__version__ == PROJECT["project"]["version"]

"""Rules for the source tree: light imports, packages on floors, short files, vLLM in one folder."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from processes import ROOT, environment

HEAVY = {
    "vllm", "torch", "ray", "wandb", "transformers", "pandas", "numpy", "pyarrow", "hydra",
    "omegaconf", "huggingface_hub", "fsspec", "rich", "pynvml",
}  # fmt: skip
ON_HYDRA = ("launcher", "task")  # subclasses of Hydra's classes; imported when Hydra starts
MODULES = sorted(
    ".".join(file.relative_to(ROOT).with_suffix("").parts)
    for file in (ROOT / "rollout").rglob("*.py")
    if file.stem not in ("__main__", *ON_HYDRA) and "examples" not in file.parts
)
FILES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
    for file in (ROOT / "rollout").rglob("*.py")
}
FLOORS = (
    ("errors",), ("system",), ("rows",), ("config",), ("inputs", "engines"), ("store",),
    ("prepare", "postprocess"), ("plan",), ("runs",), ("report",), ("run",),
    ("sweeps",), ("__init__", "__main__", "ls"),
)  # fmt: skip
FLOOR = {entry: number for number, floor in enumerate(FLOORS) for entry in floor}


def test_importing_any_module_imports_nothing_heavy():
    code = f"import sys, {', '.join(MODULES)}; print(*{{m.split('.')[0] for m in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    )
    assert not HEAVY & set(done.stdout.split())


def test_the_linter_finds_nothing():
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "."],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout


def test_every_setting_is_listed_as_it_is_declared():
    from rollout.config.help import settings_table

    assert settings_table() in (ROOT / "docs/settings.md").read_text(), (
        "paste what this prints: "
        "python -c 'from rollout.config.help import settings_table; print(settings_table())'"
    )


# The floors.


def imports() -> Iterator[tuple[str, str]]:
    """Yield (importer, imported) for every import of one of our modules, lazy imports included."""
    for name, file in FILES.items():
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                found = (f"{node.module}.{alias.name}" for alias in node.names)
                yield from ((name, f if f in FILES else node.module) for f in found)
            elif isinstance(node, ast.Import):
                yield from ((name, alias.name) for alias in node.names)


def package_of(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


ARROWS = [(a, b) for a, b in imports() if b in FILES and a != b]


def test_a_package_imports_only_from_floors_below_its_own():
    wrong = []
    for importer, imported in ARROWS:
        above, below = package_of(importer), package_of(imported)
        if above != below and FLOOR[below] >= FLOOR[above]:
            wrong.append(f"{importer} imports {imported}")
    assert not wrong


def test_no_modules_import_each_other_in_a_circle():
    of = {name: set() for name in FILES}
    for importer, imported in ARROWS:
        of[importer].add(imported)
    while free := [name for name, wanted in of.items() if not wanted & of.keys()]:
        for name in free:
            del of[name]
    assert not of


def test_the_house_has_at_most_17_entries_each_on_a_floor():
    entries = {path.name for path in (ROOT / "rollout").iterdir()} - {"__pycache__"}
    assert len(entries) <= 17
    assert {entry.removesuffix(".py") for entry in entries} == FLOOR.keys()


def test_no_file_has_more_than_350_lines():
    long = {
        str(file.relative_to(ROOT)): count
        for folder in ("rollout", "tests", "benchmarks")
        for file in (ROOT / folder).rglob("*.py")
        if (count := file.read_bytes().count(b"\n")) > 350
    }
    assert not long


@pytest.mark.parametrize(
    ("library", "folder"),
    [
        ("vllm", "rollout.engines.vllm."),
        ("fsspec", "rollout.system.storage."),
        ("pyarrow.fs", "rollout.system.storage."),
    ],
)
def test_only_one_folder_knows(library, folder):
    knows = {
        name
        for name, file in FILES.items()
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for word in ([node.module or ""] if isinstance(node, ast.ImportFrom) else
                     [alias.name for alias in node.names])
        if f"{word}.".startswith(f"{library}.")
    }  # fmt: skip
    assert knows and all(name.startswith(folder) for name in knows)


def test_the_readme_shows_the_floors_and_what_each_package_says_of_itself():
    text = (ROOT / "README.md").read_text()
    picture = text.partition("## A tour of the code")[2].partition("```\n")[2].partition("```")[0]
    shown = {
        entry.removesuffix("/").removesuffix(".py"): int(line.split()[0])
        for line in picture.splitlines()
        for entry in re.findall(r"\b\w+/|\b\w+\.py", line)
    }
    assert shown == FLOOR
    for package in (ROOT / "rollout").glob("*/__init__.py"):
        first = ast.get_docstring(ast.parse(package.read_text())).splitlines()[0]
        assert f"| `{package.parent.name}/` | {first} |" in text


def test_the_readme_has_the_command_that_the_ci_runs():
    pattern = re.search(r"grep -m1 -E '(.+)' README.md", (ROOT / ".ci/run").read_text())[1]
    found = re.search(pattern, (ROOT / "README.md").read_text(), re.MULTILINE)
    assert found and "pytest -q -n auto" in found.string[found.start() :].splitlines()[0]


def test_the_tests_stand_where_the_code_stands():
    folders = {path.parent.name for path in (ROOT / "tests").glob("*/test_*.py")} - {"whole"}
    assert folders <= FLOOR.keys()

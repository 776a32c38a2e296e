"""The bad-input corpus: small files and settings, each with the result a user must get.

An error in the whole input is one line that says what to type, before any work, with nothing left
behind. An error in a row is that row's `error`. Everything else is answered, with its columns
unchanged.
"""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bad_input import NAME, encrypted, lost_page, nothing, prompts
from bad_input_cases import Case, broken, refused
from bad_input_columns import COLUMNS
from bad_input_files import BROKEN, FILES
from bad_input_rows import ROWS
from bad_input_settings import PLACES, SETTINGS
from odd_input import PLAIN
from processes import rollout

SCRIPTED = (
    "engine=scripted", "tracking=none", "engine.scripted.instant=true", "sampling.n_samples=2"
)  # fmt: skip


# Cases that might end the process silently, or show only in its output.
WHOLE = {
    "a prompt column encrypted under a plain footer": refused(
        encrypted(["prompt"], True), "has encrypted columns", "decrypted copy"
    ),
    "another column encrypted under a plain footer": refused(
        encrypted(["x"], True), "has encrypted columns", "decrypted copy"
    ),
    "a missing file whose name is not UTF-8": refused(
        nothing, "does not exist", words=("data.input=" + os.fsdecode(b"caf\xe9.parquet"),)
    ),
    "a page that cannot be read": broken(lost_page, "it is damaged"),
    "rows none of which can be asked": broken(prompts(["", None]), "see column error"),
}


@pytest.fixture
def ask(typed, monkeypatch):
    """Build a case, type its words, and check what holds for every case."""
    monkeypatch.setenv("HOME", str(typed.here))

    def run(build, *words):
        build(typed.here)
        before = contents(typed.here)
        typed(*SCRIPTED, *words)
        assert "Traceback" not in "\n".join([typed.out, *typed.notes, *typed.errors])
        assert "a bug in rollout" not in "".join(typed.errors)
        assert len(typed.errors) == (typed.code != 0), typed.errors
        after = contents(typed.here)
        told = "output.overwrite=true" in words  # then only the input must stay
        kept = [path for path in before if path == NAME or not told]
        assert [path for path in kept if after.get(path) != before[path]] == []
        return typed

    return run


def contents(here: Path) -> dict[str, bytes]:
    files = (path for path in here.rglob("*") if path.is_file())
    return {str(path.relative_to(here)): path.read_bytes() for path in files}


def every(*tables: dict[str, Case]) -> list:
    """Return the cases as parameters."""
    return [
        pytest.param(
            case,
            id=name,
        )
        for table in tables
        for name, case in table.items()
    ]


@pytest.mark.parametrize("case", every(FILES, COLUMNS, SETTINGS, PLACES))
def test_a_fault_of_the_whole_is_one_line_that_says_what_to_type(ask, case):
    typed = ask(case.build, *case.words)
    assert typed.code == 2 and typed.left == [] and typed.out == "", typed.errors
    assert [part for part in case.says if part not in typed.errors[0]] == [], typed.errors[0]


@pytest.mark.parametrize("case", every(ROWS, PLAIN))
def test_a_fault_of_a_row_is_its_error_and_all_else_is_answered_beside_it(ask, case):
    typed = ask(case.build, *case.words)
    assert typed.code == 0, typed.errors
    words = dict(word.split("=", 1) for word in case.words)
    given, answered = asked(typed.here, words), published(typed.here, words)
    prefix = words.get("output.prefix", "")
    errors = {row: e for row, e in enumerate(answered[prefix + "error"].to_pylist()) if e}
    assert errors.keys() == case.errors.keys(), errors
    assert all(case.errors[row] in error for row, error in errors.items()), errors
    counts = [len(responses) for responses in answered[prefix + "responses"].to_pylist()]
    assert counts == [0 if row in errors else 2 for row in range(given.num_rows)]
    assert answered.schema.metadata == given.schema.metadata
    assert [n for n in given.column_names if not same(given[n], answered[n])] == []


def asked(here: Path, words: dict[str, str]) -> pa.Table:
    """Return the rows of the input, read with pyarrow alone."""
    path = here / words["data.input"].removeprefix("~/").removesuffix("/**/*.parquet")
    files = sorted(path.glob("[!._]*.parquet")) if path.is_dir() else [path]
    return pa.concat_tables(pq.read_table(file.open("rb")) for file in files if file.is_file())


def published(here: Path, words: dict[str, str]) -> pa.Table:
    found = [*here.glob("outputs/*/*/output.parquet")]
    (path,) = [here / words["output.path"]] if "output.path" in words else found
    return pq.read_table(path.open("rb"))


def same(one: pa.ChunkedArray, two: pa.ChunkedArray) -> bool:
    """Return whether two columns are equal in type and values; NaN equals itself."""
    return one.type == two.type and (one == two or repr(one.to_pylist()) == repr(two.to_pylist()))


@pytest.mark.parametrize("case", every(BROKEN))
def test_rows_that_cannot_be_read_end_the_run_with_the_name_of_the_file(ask, case):
    typed = ask(case.build, *case.words)
    assert typed.code == case.code
    assert [part for part in case.says if part not in typed.errors[0]] == [], typed.errors[0]


@pytest.mark.parametrize("case", every(WHOLE))
def test_the_process_too_ends_with_one_line_and_its_code(tmp_path, case):
    case.build(tmp_path)
    before = contents(tmp_path)
    done = rollout(*SCRIPTED, *case.words, cwd=tmp_path)
    lines = [line for line in done.stderr.splitlines() if line.startswith("rollout: ")]
    assert (done.returncode, len(lines)) == (case.code, 1), done.stderr
    assert [part for part in case.says if part not in lines[0]] == [], lines[0]
    assert "Traceback" not in done.stderr + done.stdout
    assert case.code == 1 or contents(tmp_path) == before

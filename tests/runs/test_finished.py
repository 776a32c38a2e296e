"""When a run counts as finished: all it is made from and checked by is unchanged to the bit."""

import json
import os
import platform
import shutil
import sys
from importlib.util import spec_from_file_location

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rollout.config.sections.postprocess import Function, Postprocess
from rollout.postprocess.scoring.provenance import files_and_versions

SMALL = ("engine=scripted", "tracking=none", "sampling.n_samples=2")
SCORED = ("postprocess.scorer=python", "postprocess.python.function=scorer.py:score")
PREPARED = ("prepare.source=source.jsonl", "prepare.template=template.jinja")


@pytest.fixture
def here(typed):
    """The directory of the command, with an input, a source and scorers."""
    labels = [f"label {i:02}" for i in range(10)]
    table = pa.table({"prompt": [f"question {i}" for i in range(10)], "answer": labels})
    plain = {"compression": "none", "use_dictionary": False, "write_statistics": False}
    pq.write_table(table, typed.here / "in.parquet", **plain)
    lines = [json.dumps({"q": f"question {i}", "answer": a}) for i, a in enumerate(labels)]
    (typed.here / "source.jsonl").write_text("\n".join(lines))
    (typed.here / "template.jinja").write_text("Say {{ q }} now")
    (typed.here / "scorer.py").write_text("def score(response, row):\n    return 0.25\n")
    (typed.here / "schema.json").write_text('{"type": "object"}')
    return typed.here


class EditableFinder:
    """The import finder that pip install -e adds for a project."""

    def __init__(self, directory):
        self._directory = directory

    def find_spec(self, name, path=None, target=None):
        place = self._directory / name
        if name != "judge":
            return None
        return spec_from_file_location(
            name, place / "__init__.py", submodule_search_locations=[str(place)]
        )


def edit(path, old, new):
    """Edit a file in place; its size and times stay the same."""
    status, data = path.stat(), path.read_bytes()
    assert len(old) == len(new) and old in data
    with path.open("rb+") as file:
        file.write(data.replace(old, new, 1))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def again(typed, *words):
    typed(*words)
    return "finished already" in typed.out


def test_a_corrected_label_is_published_and_scored_though_size_and_footer_stay(typed, here):
    """The input was compared by size and footer, so old labels were published."""
    words = (*SMALL, *SCORED, "data.input=in.parquet", "run_dir=run")
    typed(*words)
    edit(here / "in.parquet", b"label 03", b"LABEL 03")
    assert not again(typed, *words) and typed.code == 0, typed.errors
    for name in ("output", "scored"):
        assert pq.read_table(here / f"run/{name}.parquet")["answer"][3].as_py() == "LABEL 03"
    assert again(typed, *words)


def test_an_edited_scorer_scores_again(typed, here):
    words = (*SMALL, *SCORED, "data.input=in.parquet", "run_dir=run")
    typed(*words)
    edit(here / "scorer.py", b"0.25", b"0.75")
    assert not again(typed, *words) and typed.code == 0
    assert pq.read_table(here / "run/scored.parquet")["scores"][0].as_py() == [0.75, 0.75]


def test_an_edited_schema_scores_again(typed, here):
    words = (
        *SMALL, "data.input=in.parquet", "run_dir=run", "postprocess.scorer=json_schema",
        "postprocess.json_schema.schema=schema.json",
    )  # fmt: skip
    typed(*words)
    assert again(typed, *words)
    edit(here / "schema.json", b"object", b"string")
    assert not again(typed, *words)


@pytest.mark.parametrize("size", ["data.limit=8", "data.limit=3", "sampling.n_samples=3"])
def test_without_shards_nothing_is_finished_but_what_was_published(typed, here, size):
    """100 rows counted as finished although 200 were requested."""
    words = (*SMALL, "data.input=in.parquet", "run_dir=run", "data.limit=5")
    typed(*words)
    shutil.rmtree(here / "run/shards")
    assert again(typed, *words)
    typed(*words, size)
    assert typed.code == 2 and "its shards/ are gone" in typed.errors[0]


@pytest.mark.parametrize("name", ["output.parquet", "scored.parquet", "scored.json"])
def test_one_flipped_bit_makes_a_published_file_another(typed, here, name):
    """Size and footer stayed the same, so the file counted as unchanged."""
    words = (*SMALL, *SCORED, "data.input=in.parquet", "run_dir=run")
    typed(*words)
    path = here / "run" / name
    data = path.read_bytes()
    middle = data[40:48]
    edit(path, middle, bytes([middle[0] ^ 4]) + middle[1:])
    typed(*words)
    assert typed.code == 2 and name.partition(".")[0] in typed.errors[0]


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize(
    ("name", "old", "new"),
    [("source.jsonl", b"question 3", b"Question 3"), ("template.jinja", b"now", b"NOW")],
)
def test_an_edited_source_or_template_is_prepared_again(typed, here, name, old, new, alone):
    """`run_dir=run` alone used the old prompts, whatever had changed since."""
    typed(*SMALL, *PREPARED, "run_dir=run")
    assert typed.code == 0, typed.errors
    words = ["run_dir=run"] if alone else [*SMALL, *PREPARED, "run_dir=run"]
    assert again(typed, *words)
    edit(here / name, old, new)
    typed(*words)
    assert typed.code == 2 and "has another prompt now" in typed.errors[0]


def test_prompts_edited_by_hand_are_not_taken_for_prepared_ones(typed, here):
    typed(*SMALL, *PREPARED, "run_dir=run")
    table = pq.read_table(here / "run/prompts.parquet")
    pq.write_table(table.slice(1), here / "run/prompts.parquet")
    typed(*SMALL, *PREPARED, "run_dir=run")
    assert typed.code == 2 and "was changed since" in typed.errors[0]


def test_a_copied_run_with_new_file_times_is_still_finished(typed, here):
    words = (*SMALL, *SCORED, "data.input=in.parquet")
    typed(*words, "run_dir=run")
    shutil.copytree(here / "run", here / "copy", copy_function=shutil.copyfile)
    assert again(typed, *words, "run_dir=copy")


def test_starting_over_moves_the_scores_along(typed, here):
    words = (*SMALL, *SCORED, "data.input=in.parquet", "run_dir=run")
    typed(*words)
    typed(*words, "resume=fresh", "sampling.seed=1")
    assert typed.code == 0, typed.errors
    for directory in ("run", "run.old-1"):
        assert {"output.parquet", "scored.parquet", "scored.json", "written.json"} <= {
            path.name for path in (here / directory).iterdir()
        }


def test_edited_figures_are_not_reported(typed, here):
    """They were read from summary.json even if it had been edited."""
    words = (*SMALL, "data.input=in.parquet", "run_dir=run")
    typed(*words)
    edit(here / "run/summary.json", b'"num_rows": 10', b'"num_rows": 99')
    assert not again(typed, *words) and "99" not in typed.out.replace(str(here), "")
    assert again(typed, *words) and "10 rows" in typed.out


@pytest.mark.parametrize(
    ("function", "edited"),
    [("pkg.mod:score", "pkg/tab.py"), ("pkg.mod:score", "helpers.py"),
     ("pkg.mod:score", "pkg/__init__.py"), ("late.py:score", "pkg/tab.py"),
     ("star.py:score", "pkg/tab.py"), ("named.py:score", "pkg/tab.py")],
)  # fmt: skip
def test_every_user_module_that_a_scorer_imports_counts(typed, here, function, edited):
    """Absolute imports within a package were only looked up next to the file."""
    (here / "pkg").mkdir()
    (here / "pkg/__init__.py").write_text("__all__ = ['tab']\nK = 0.25\n")
    (here / "pkg/tab.py").write_text("K = 0.25\n")
    (here / "helpers.py").write_text("K = 0.25\n")
    imports = "import pkg, helpers\nfrom pkg.tab import K\n"
    (here / "pkg/mod.py").write_text(f"{imports}\ndef score(r, row):\n    return K\n")
    late = "import importlib\n\ndef score(r, row):\n"
    (here / "late.py").write_text(f"{late}    return importlib.import_module('pkg.mod').K\n")
    (here / "star.py").write_text("from pkg import *\n\ndef score(r, row):\n    return tab.K\n")
    named = "name = 'tab'\n    return importlib.import_module(f'pkg.{name}').K\n"
    (here / "named.py").write_text(f"{late}    {named}")
    words = (*SMALL, "data.input=in.parquet", "run_dir=run", "postprocess.scorer=python",
             f"postprocess.python.function={function}")  # fmt: skip
    typed(*words)
    assert typed.code == 0 and again(typed, *words), typed.errors
    edit(here / edited, b"0.25", b"0.75")
    assert not again(typed, *words)


def test_prepared_prompts_are_known_from_another_directory_and_in_a_moved_project(
    typed, here, monkeypatch
):
    project = here / "project"
    project.mkdir()
    for name in ("source.jsonl", "template.jinja"):
        shutil.copy(here / name, project / name)
    monkeypatch.chdir(project)
    typed(*SMALL, *PREPARED, "run_dir=run")
    assert again(typed, *SMALL, *PREPARED, "prepare.template=./template.jinja", "run_dir=run")
    monkeypatch.chdir(here)
    assert again(typed, "run_dir=project/run")
    project.rename(here / "moved")
    monkeypatch.chdir(here / "moved")
    assert again(typed, *SMALL, *PREPARED, "run_dir=run")
    (here / "moved/source.jsonl").unlink()
    assert again(typed, "run_dir=run")


def test_emptied_shards_of_a_finished_run_generate_nothing_again(typed, here):
    """With a label corrected, all rows were generated again, over the published file."""
    words = (*SMALL, "data.input=in.parquet", "run_dir=run", "sampling.seed=null")
    typed(*words)
    for path in (here / "run/shards").iterdir():
        path.unlink()
    assert again(typed, *words)
    edit(here / "in.parquet", b"label 03", b"LABEL 03")
    typed(*words)
    assert typed.code == 2 and "its shards/ are gone" in typed.errors[0]


def test_scores_of_an_earlier_output_are_not_exported_for_the_runs_own(typed, here):
    """postprocess input=RUN used the scored file in the directory, however old."""
    from rollout.postprocess.__main__ import main

    words = (*SMALL, "data.input=in.parquet", "run_dir=run")
    typed(*words, *SCORED)
    typed(*words, "sampling.n_samples=3")
    with pytest.raises(SystemExit) as ended:
        main(["input=run", "export.format=sft", "export.path=t.parquet"])
    assert ended.value.code == 2 and not (here / "t.parquet").exists()


def test_a_file_of_an_earlier_launch_is_not_taken_for_this_ones(typed, here):
    words = (*SMALL[:2], *SCORED, "data.input=in.parquet", "run_dir=run")
    first, second = ("postprocess.output.path=one.parquet", "postprocess.output.path=two.parquet")
    typed(*words, first, "sampling.n_samples=2")
    typed(*words, second, "sampling.n_samples=3")
    assert not again(typed, *words, first, "sampling.n_samples=3") and typed.code == 0
    assert len(pq.read_table(here / "one.parquet")["scores"][0].as_py()) == 3


def test_an_installed_scorer_counts_by_its_version(tmp_path, monkeypatch):
    """Every import of the installed packages was read: thousands of files, for minutes."""
    (tmp_path / "judge").mkdir()
    (tmp_path / "judge/__init__.py").write_text("import other\n")
    (tmp_path / "other.py").write_text("")
    judge = Postprocess(scorer="python", python=Function(function="judge:score"))
    monkeypatch.syspath_prepend(tmp_path)
    own = files_and_versions(judge)
    assert [file.name for file in own[0]] == ["__init__.py", "other.py"]
    about = tmp_path / "judge-1.5.dist-info"  # also left by pip install -t, among the user's own
    about.mkdir()
    assert files_and_versions(judge)[0] == own[0]
    monkeypatch.setattr("site.getsitepackages", lambda: [str(tmp_path)])
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: judge\nVersion: 1.5\n")
    (about / "top_level.txt").write_text("judge\n")
    files, versions = files_and_versions(judge)
    assert files == [tmp_path / "judge/__init__.py"] and versions["judge"] == "1.5"
    monkeypatch.undo()
    monkeypatch.setattr("sys.meta_path", [EditableFinder(tmp_path), *sys.meta_path])
    assert tmp_path / "judge/__init__.py" in files_and_versions(judge)[0]
    assert versions["python"] == platform.python_version() == own[1]["python"]


def test_an_export_that_would_be_empty_is_never_finished_with_an_earlier_one(typed, here):
    """The second launch said "finished already", with the training file of another selection."""
    words = (*SMALL, *SCORED, "data.input=in.parquet", "run_dir=run")
    words += ("postprocess.export.format=sft", "postprocess.pass_threshold=0.2")
    typed(*words)
    assert typed.code == 0 and (here / "run/train.parquet").exists(), typed.errors
    for _ in range(2):
        typed(*words, "postprocess.select.min_chars=100000")
        assert typed.code != 0 and "would be empty" in typed.errors[-1]
        assert not (here / "run/train.parquet").exists()
    typed(*words)
    assert typed.code == 0 and (here / "run/train.parquet").exists(), typed.errors


def test_a_moved_run_reports_where_its_files_are_now(typed, here):
    words = (*SMALL, *SCORED, "data.input=in.parquet")
    typed(*words, "run_dir=run")
    (here / "run").rename(here / "moved")
    assert again(typed, *words, "run_dir=moved")
    assert f"scored  {here}/moved/scored.parquet" in typed.out and f"{here}/run/" not in typed.out


@pytest.mark.parametrize("source", [PREPARED, ("data.input=in.parquet",)])
def test_a_moved_project_resumes_where_it_is_now(typed, here, monkeypatch, source):
    """`run_dir=` alone created the old directory again, and published there."""
    project = here / "project"
    project.mkdir()
    for name in ("source.jsonl", "template.jinja", "scorer.py", "in.parquet"):
        shutil.copy(here / name, project / name)
    monkeypatch.chdir(project)
    words = (*SMALL, *SCORED, *source, "run_dir=runs/a", "output.path=out.parquet")
    words += ("postprocess.output.path=scored.parquet",)
    typed(*words)
    assert typed.code == 0, typed.errors
    project.rename(here / "moved")
    monkeypatch.chdir(here / "moved")
    assert again(typed, "run_dir=runs/a") and f"output  {here}/moved/out.parquet" in typed.out
    monkeypatch.chdir(here)
    assert again(typed, "run_dir=moved/runs/a") and not project.exists()
    monkeypatch.chdir(here / "moved")
    assert again(typed, *words)


def test_a_finished_run_says_how_many_rows_failed_and_what_retries_them(here, typed):
    """It said that retry_failed=true tries the failed rows again, of no number."""
    words = *SMALL, "data.input=in.parquet", "run_dir=r", "engine.scripted.refuse=question 3"
    typed(*words)
    assert "; 1 row failed (see column error)" in " ".join(typed.out.split())
    typed(*words)
    assert "note: 1 row failed; type retry_failed=true to retry it" in typed.notes

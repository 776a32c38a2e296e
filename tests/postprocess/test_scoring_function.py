"""A function that scorer=python clearly can't find is refused before anything starts."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from in_process import run

from rollout.errors import UserError
from rollout.postprocess.scoring.function import name_relative_to, refuse_absent

SMALL = ("engine=scripted", "tracking=none", "sampling.n_samples=2", "data.input=in.parquet")
FUNCTION = "postprocess.python.function="
SCORE = "def score(response, row):\n    return 0.25\n"


@pytest.fixture
def here(typed):
    """Return the command's directory, with an input, a scorer file and a package of scorers."""
    rows = {"prompt": ["a", "b"], "answer": ["a", "b"]}
    pq.write_table(pa.table(rows), typed.here / "in.parquet")
    package = typed.here / "pk"
    package.mkdir()
    (package / "__init__.py").write_text("print(1 / 0)\n")  # nothing may be imported
    for file in (typed.here / "scorer.py", package / "m.py"):
        file.write_text(SCORE)
    (typed.here / "broken.py").write_text("def score(:\n")
    return typed.here


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("nofile.py:score", "there is no file"),
        ("nomod:score", "there is no module nomod"),
        ("pk.nomod:score", "there is no module pk.nomod"),
        ("nowhere/pk.m:score", "there is no module pk.m"),
        ("scorer.py:scoer", "Did you mean 'score'?"),
        ("pk.m:scoer", "Did you mean 'score'?"),
        ("scorer.py:row", "has no function 'row'"),
        ("broken.py:score", "can't be imported (SyntaxError"),
        ("scorer:", "does not name a function"),
    ],
)
@pytest.mark.parametrize("more", [(), ("dry_run=true",), ("-m", "sampling.temperature=0.5,1")])
def test_a_mistyped_function_is_refused_before_anything_is_generated(
    typed, here, function, message, more
):
    """It was found only after all responses were generated, and never by a dry run."""
    before = typed.files()
    typed(*SMALL, "run_dir=run", "postprocess.scorer=python", FUNCTION + function, *more)
    assert typed.code == 2 and message in typed.errors[-1], typed.errors
    assert FUNCTION + function in typed.errors[-1]
    assert not list(here.glob("run/**/*.parquet")) and (more or typed.files() == before)


def test_a_plan_refuses_a_mistyped_function(here):
    words = ["engine=scripted", "postprocess.scorer=python", f"{FUNCTION}nomod:score"]
    done = run("rollout.plan", words)
    assert done.code == 2 and "there is no module nomod" in done.err


@pytest.mark.parametrize(
    "text",
    [
        "import os.path as score", "from os import *", "def __getattr__(name): ...",
        "def f():\n    global score\n    score = f", "if x:\n    score = 1",
        "globals()['sc' + 'ore'] = 1", "exec('score = 1')", "for score in x: pass",
        "try:\n    from x import score\nexcept ImportError:\n    pass", "[score := 1]",
        "import sys\nsys.modules[__name__] = object()", "class score: ...",
        "match x:\n    case [score]: pass", "with x as (score, y): pass", "async def score(): ...",
    ],
)  # fmt: skip
def test_a_function_that_may_be_there_is_left_to_its_import(here, text):
    (here / "scorer.py").write_text(text)
    refuse_absent("scorer.py:score")
    refuse_absent("scorer:score")


def test_modules_of_python_and_of_packages_are_found(here):
    (here / "pk/__init__.py").write_text("__path__.append('elsewhere')\n")
    for text in ("pk.late:f", "os.path:join", "math:sqrt", "xml.etree.ElementTree:parse"):
        refuse_absent(text)
    with pytest.raises(UserError, match="no module"):
        refuse_absent("..pk:f")


def test_a_finished_run_is_finished_from_another_directory_when_its_scorer_is_a_module(
    typed, here, monkeypatch
):
    """It published again, moved summary.json aside and failed: the directory had no module pk."""
    (here / "pk/__init__.py").write_text("")
    (here / "pk/m.py").write_text(f"from . import k\nimport pk.k\n{SCORE}")
    (here / "pk/k.py").write_text("")
    words = ("postprocess.scorer=python", f"{FUNCTION}pk.m:score")
    typed(*SMALL, *words, "run_dir=run")
    assert typed.code == 0, typed.errors
    for name in ("other", "third"):
        (here / name).mkdir()
        monkeypatch.chdir(here / name)
        typed("run_dir=../run")
        assert typed.code == 0 and "finished already" in typed.out, typed.errors
        typed("run_dir=../run", f"sampling.n_samples={3 + (name == 'third')}")
        assert typed.code == 0 and (here / "run/summary.json").exists(), typed.errors


def test_a_finished_run_stays_whole_when_its_scorer_is_gone(typed, here):
    (here / "scorers").mkdir()
    (here / "scorers/own.py").write_text(SCORE)
    words = ("postprocess.scorer=python", f"{FUNCTION}scorers.own:score")
    typed(*SMALL, *words, "run_dir=run")
    assert typed.code == 0, typed.errors
    (here / "scorers/own.py").unlink()
    before = typed.files()
    typed("run_dir=run")
    assert typed.code == 2 and "no module scorers.own" in typed.errors[-1]
    assert typed.files() == before


def test_a_complete_run_stays_complete_when_its_scorer_fails(typed, here):
    """It published again and removed summary.json before it imported the scorer."""
    words = (*SMALL, "postprocess.scorer=python", f"{FUNCTION}scorer.py:score", "run_dir=run")
    typed(*words)
    (here / "scorer.py").write_text(f"import gone_since\n{SCORE}")
    typed(*words)
    assert typed.code == 2 and f"{FUNCTION}scorer.py" in typed.errors[-1]
    assert "No module named 'gone_since'" in typed.errors[-1]
    assert (here / "run/summary.json").exists()
    (here / "scorer.py").write_text(SCORE)
    typed(*words)
    assert typed.code == 0 and "finished already" in typed.out, typed.errors


def test_what_a_module_without_a_package_imports_counts_from_any_directory(
    typed, here, monkeypatch
):
    (here / "pk/__init__.py").unlink()
    (here / "pk/m.py").write_text(f"import pk.k\n{SCORE}")
    (here / "pk/k.py").write_text("K = 1\n")
    typed(*SMALL, "postprocess.scorer=python", f"{FUNCTION}pk.m:score", "run_dir=run")
    (here / "other").mkdir()
    monkeypatch.chdir(here / "other")
    typed("run_dir=../run")
    assert typed.code == 0 and "finished already" in typed.out, typed.errors
    (here / "pk/k.py").write_text("K = 2\n")
    typed("run_dir=../run")
    assert typed.code == 0 and "finished already" not in typed.out, typed.errors


def test_an_installed_module_keeps_its_name(here, tmp_path):
    (here / "xml").mkdir()  # not a package, so Python uses its own
    for text in ("xml.dom.minidom:parse", "math:sqrt", "pyarrow.compute:sum", "nomod:f"):
        assert name_relative_to(text, here) == text
    assert name_relative_to("pk.m:score", here) == f"{here}/pk.m:score"
    assert name_relative_to("scorer.py:score", here) == f"{here}/scorer.py:score"

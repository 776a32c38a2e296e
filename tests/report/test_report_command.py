"""`python -m rollout.report PATH`: where the page goes, and what is refused."""

import stat

import pandas as pd
import pytest
from obeyed_permissions import obeyed_permissions
from reported import launch, questions, write_input

from rollout.report.__main__ import main


@pytest.fixture
def report(typed, capsys):
    """`report("x")` types `python -m rollout.report x`; returns code, stdout and stderr."""
    write_input(typed.here, questions(6))
    launch(typed, "report=false")
    capsys.readouterr()

    def call(*words):
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    call.here = typed.here
    return call


def test_the_page_is_written_into_the_run_and_replaced_by_the_next(report):
    page = report.here / "x/report.html"
    for _ in range(2):
        assert report("x") == (0, f"report   {report.here}/x/report.html\n", "")
    assert page.read_text().lower().startswith("<!doctype html>")
    assert "complete: 6 rows, 18 samples" in page.read_text()


def test_a_page_that_was_edited_is_not_replaced_unless_typed(report):
    report("x")
    page = report.here / "x/report.html"
    page.write_text(page.read_text() + "my notes")
    code, out, err = report("x")
    assert (code, out) == (2, "") and "is not as a report wrote it" in err
    assert page.read_text().endswith("my notes")
    assert report("x", "overwrite=true")[0] == 0
    assert "my notes" not in page.read_text()


def test_the_page_can_go_elsewhere(report):
    code, out, _ = report("x", "output=mine/../page.html")
    assert code == 2  # there is no directory mine
    code, out, _ = report("x", "output=page.html")
    assert (code, out) == (0, f"report   {report.here}/page.html\n")
    assert not (report.here / "x/report.html").exists()


def test_a_directory_without_write_permission_is_one_line_that_names_another_place(report):
    (report.here / "x").chmod(stat.S_IRUSR | stat.S_IXUSR)
    with obeyed_permissions():
        code, _, err = report("x")
    (report.here / "x").chmod(stat.S_IRWXU)
    assert code == 2 and len(err.splitlines()) == 1
    assert "type output=FILE.html to write it elsewhere" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "type the path of a run, a sweep or a parquet file"),
        (["x", "x"], "2 paths are given; type one: that of a run, a sweep or a parquet file"),
        (["nowhere"], "nowhere does not exist; type RUN_DIR"),
        (["x", "--figure"], "'--figure' is not a word of rollout.report"),
        (["x", "output=page.pdf"], "type a name ending in .html"),
        (["x/attempts/1"], "it lies in"),
        (["x/run.json"], "it lies in"),
        (["."], "it holds 1 run: type /"),
        (["s3://bucket/x"], "is on a store; copy it"),
    ],
)
def test_a_path_or_word_that_has_no_page_says_what_to_type(report, words, said):
    code, out, err = report(*words)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1 and said in err


def test_help_fits_a_terminal(report):
    code, out, _ = report("--help")
    assert code == 0 and "--figures" in out
    assert len(out.splitlines()) <= 40 and max(map(len, out.splitlines())) <= 100


def test_a_fresh_start_moves_the_page_with_the_run(typed, report):
    report("x")
    launch(typed, "resume=fresh", "report=false")
    assert (report.here / "x.old-1/report.html").exists()
    assert not (report.here / "x/report.html").exists()


def test_a_users_file_of_the_pages_name_stays_where_it_is(typed, report):
    (report.here / "x/report.html").write_text("mine")
    done = launch(typed, "resume=fresh")
    said = " ".join(" ".join(done.notes).split())
    assert done.code == 0 and "is not as a report wrote it" in said
    assert (report.here / "x/report.html").read_text() == "mine"


def test_a_report_leaves_the_records_of_the_run_as_they_are(typed, report):
    before = {p: p.read_bytes() for p in (report.here / "x").rglob("*") if p.is_file()}
    report("x")
    after = {p: p.read_bytes() for p in (report.here / "x").rglob("*") if p.is_file()}
    assert after.keys() - before.keys() == {report.here / "x/report.html"}
    assert before.items() <= after.items()
    assert "nothing is owed" in launch(typed).out


def test_a_file_of_responses_has_its_page_beside_it(typed, report):
    (report.here / "x/output.parquet").rename(report.here / "mine.parquet")
    code, out, err = report("mine.parquet")
    assert (code, out, err) == (0, f"report   {report.here}/mine.html\n", "")
    assert "question 3" in (report.here / "mine.html").read_text()


def test_the_charts_are_files_too_if_typed(report):
    code, out, _ = report("x", "--figures")
    names = {path.name for path in (report.here / "x/figures").iterdir()}
    assert code == 0 and "figures  " in out
    assert {"lengths.png", "lengths.svg", "throughput.png", "throughput.svg"} <= names
    assert report("x", "--figures")[0] == 0


@pytest.mark.parametrize("words", [("x/output.parquet",), ("x", "output=x/output.html")])
def test_figures_of_another_page_leave_those_of_the_run(report, words):
    """They went to x/figures, too, and those of the run were removed."""
    report("x", "--figures")
    before = files_in(report.here / "x/figures")
    code, out, _ = report(*words, "--figures")
    assert code == 0 and f"figures  {report.here}/x/output-figures: " in out
    assert files_in(report.here / "x/figures") == before
    assert (report.here / "x/output-figures").is_dir()


def files_in(directory):
    return {path: path.read_bytes() for path in directory.iterdir()}


def test_a_sweep_and_the_report_of_it_replace_each_others_page(typed, report):
    words = ("-m", "engine=scripted", "tracking=none", "data.input=in.parquet", "run_dir=s",
             "sampling.temperature=0.5,1")  # fmt: skip
    assert typed(*words).code == 0
    assert report("s") == (0, f"report   {report.here}/s/sweep.html\n", "")
    assert typed(*words, "sampling.n_samples=9").code == 0
    assert report("s")[0] == 0


def test_no_output_may_take_the_name_of_the_page(typed, report):
    done = launch(typed, "output.path=x/report.html.parquet", "output.overwrite=true")
    assert done.code == 0  # another name
    done = launch(typed, "output.path=x/figures/a.parquet")
    assert done.code == 2 and "keeps its own files" in done.errors[0]


def write_foreign(here):
    """Write a file whose columns have names of their own, and two possible columns of prompts."""
    table = {"what": ["one", "two"], "prompt": ["?", "?"], "said": [["uno"], ["dos"]]}
    table |= {"a_scores": [[1.0], [1.0]], "a_verdicts": [["right"], ["right"]]}
    table |= {"b_scores": [[0.0], [0.0]], "b_verdicts": [["wrong"], ["wrong"]]}
    pd.DataFrame(table).to_parquet(here / "f.parquet")


def test_columns_of_a_file_are_typed_as_its_messages_say(report):
    """The command refused responses_key=, which its own message asked for."""
    write_foreign(report.here)
    code, _, err = report("f.parquet")
    assert code == 2 and "type responses_key=COLUMN" in err
    words = ("responses_key=said", "prompt_key=what", "prefix=b_")
    assert report("f.parquet", *words)[::2] == (0, "")
    page = (report.here / "f.html").read_text()
    assert "0 of 2 rows solved at least once" in page and '"one"' in page
    assert f"f.parquet {' '.join(words)}" in page


def test_a_page_without_charts_has_no_directory_of_figures(report):
    """It was made, and held 0 files."""
    write_foreign(report.here)
    words = ("responses_key=said", "prefix=b_", "--figures")
    pd.DataFrame({"response": ["a"]}).to_parquet(report.here / "g.parquet")
    code, out, err = report("g.parquet", "--figures")
    assert (code, err) == (0, "") and "figures  none: the page has no charts" in out
    assert not (report.here / "g-figures").exists()
    (report.here / "f.parquet").rename(report.here / "g.parquet")
    assert "g-figures: " in report("g.parquet", *words)[1]
    pd.DataFrame({"response": ["a"]}).to_parquet(report.here / "g.parquet")
    assert "none: the page has no charts" in report("g.parquet", "--figures")[1]
    assert {path.suffix for path in (report.here / "g-figures").iterdir()} <= {".json"}


@pytest.mark.parametrize("word", ["responses_key=a", "prompt_key=a", "prefix=a_"])
def test_columns_of_a_run_are_on_record_and_not_typed(report, word):
    code, out, err = report("x", word)
    assert (code, out) == (2, "") and len(err.splitlines()) == 1
    assert "is for a file of responses" in err

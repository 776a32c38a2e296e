"""The page that a run makes of itself when it ends."""

import pytest
from prompt_files import write

from rollout.report.run import at_end

SCRIPTED = ("engine=scripted", "tracking=none", "run_dir=r")


@pytest.fixture
def prompts(tmp_path):
    return write(tmp_path / "in.parquet", ["one", "two", "three"])


def test_a_run_ends_with_a_page_that_calls_it_complete(typed, prompts):
    typed(*SCRIPTED, f"data.input={prompts}")
    page = (typed.here / "r/report.html").read_text()
    assert typed.code == 0 and f"report  {typed.here}/r/report.html" in typed.out
    assert "complete" in page and "process" not in page.partition("<body")[2][:3000]


def test_without_report_a_run_makes_no_page(typed, prompts):
    typed(*SCRIPTED, f"data.input={prompts}", "report=false")
    assert typed.code == 0 and not (typed.here / "r/report.html").exists()


def test_every_point_of_a_sweep_has_a_page(typed, prompts):
    typed("-m", *SCRIPTED, f"data.input={prompts}", "sampling.temperature=0.5,1")
    assert typed.code == 0 and len(list(typed.here.glob("r/*/report.html"))) == 2


def test_a_top_up_that_fails_does_not_leave_the_page_of_the_complete_run(typed, prompts):
    typed(*SCRIPTED, f"data.input={prompts}")
    dies = ("engine.max_restarts=0", "engine.scripted.die_after_steps=5")
    typed(*SCRIPTED, f"data.input={prompts}", "sampling.n_samples=16", *dies)
    page = (typed.here / "r/report.html").read_text().partition("<body")[2]
    assert typed.code == 1 and "failed: the scripted engine died at step 6" in page
    assert "complete: 3 rows" not in page and "of 3 rows finished" in page


def test_a_launch_that_fails_before_it_generates_leaves_no_page(typed, prompts):
    typed(
        *SCRIPTED, f"data.input={prompts}", "engine.scripted.oom_above=1", "engine.max_num_seqs=8"
    )
    assert typed.code == 1 and not (typed.here / "r/report.html").exists()


def test_a_point_that_fails_has_a_page_that_says_why(typed, prompts):
    dies = ("engine.max_restarts=0", "engine.scripted.die_after_steps=5")
    typed("-m", *SCRIPTED, f"data.input={prompts}", "sampling.temperature=0.5,1", *dies)
    pages = [path.read_text() for path in typed.here.glob("r/*/report.html")]
    assert typed.code == 1 and len(pages) == 2
    assert all("failed: the scripted engine died at step 6" in page for page in pages)


@pytest.mark.parametrize("error", [ValueError("odd\nlines"), OSError(28, "No space left")])
def test_a_run_is_complete_although_its_page_can_not_be_made(typed, prompts, monkeypatch, error):
    def failing(*_, **__):
        raise error

    monkeypatch.setattr(at_end, "page_of", failing)
    typed(*SCRIPTED, f"data.input={prompts}")
    assert typed.code == 0 and (typed.here / "r/output.parquet").exists()
    assert "no page was written" in "".join(typed.notes)


def test_a_file_of_the_users_is_not_replaced_by_a_page(typed, prompts):
    (typed.here / "r").mkdir()
    (typed.here / "r/report.html").write_text("mine")
    typed(*SCRIPTED, f"data.input={prompts}")
    assert typed.code == 0 and (typed.here / "r/report.html").read_text() == "mine"
    assert "not replaced" in "".join(typed.notes)

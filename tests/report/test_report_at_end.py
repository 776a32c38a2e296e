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

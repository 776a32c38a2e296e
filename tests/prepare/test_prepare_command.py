"""python -m rollout.prepare: its output, the file it writes, and the mark of how it was made."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace

import psutil
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from preparing import ROWS, lines, made
from processes import environment

from rollout.config.compose import compose
from rollout.config.sections.prepare import Prepare
from rollout.errors import UserError
from rollout.prepare.__main__ import HELP, main
from rollout.prepare.prepare import is_made_by, prepare
from rollout.runs.workflow import with_prompts
from rollout.system.console import Console


def test_an_output_is_never_the_source_and_never_replaced_unasked(here):
    pq.write_table(pa.table({"prompt": ["a"]}), "out.parquet")
    os.link("out.parquet", "in.parquet")
    before = (here / "out.parquet").read_bytes()
    settings = Prepare(source="in.parquet")
    for settings.output.overwrite in (False, True):
        with pytest.raises(UserError, match="is the file source names"):
            prepare(settings, here / "out.parquet", Console(quiet=True), here)
    assert (here / "out.parquet").read_bytes() == before


def test_a_file_records_how_it_was_made_until_its_source_changes(here):
    source = lines(ROWS)
    made(here, source, prompt_column="question")
    settings = Prepare(source=source, prompt_column="question")
    assert is_made_by(here / "out.parquet", settings)
    assert not is_made_by(here / "out.parquet", Prepare(source=source, prompt_column="answer"))
    assert not is_made_by(here / source, settings)
    lines(ROWS[:1])
    assert not is_made_by(here / "out.parquet", settings)


@pytest.mark.parametrize("more", [{"splits": {"a": 1.0}}, {"preview": True}])
def test_a_run_takes_one_file_of_prompts(here, more):
    settings = compose({"prepare.source": lines(ROWS), "model.model_path": "x"})
    wanted = Prepare(source="in.jsonl", prompt_column="question", **more)
    with pytest.raises(UserError, match="a run"):
        with_prompts(replace(settings, prepare=wanted), Console(quiet=True), here)
    assert [path.name for path in here.iterdir()] == ["in.jsonl"]


def test_a_preview_shows_prompts_and_writes_nothing(here, capsys):
    source = lines([{"q": "\x1b[31m one \n two"}])
    with pytest.raises(SystemExit) as ended:
        main([f"source={source}", "template=Say: {{ q }}", "preview=true"])
    out = capsys.readouterr().out
    assert ended.value.code == 0 and "\x1b" not in out
    assert "user       Say: \\x1b[31m one two" in out and "nothing was written" in out
    assert [path.name for path in here.iterdir()] == [source]


def test_the_command_makes_the_file_and_prints_the_next_command(here, capsys):
    with pytest.raises(SystemExit) as ended:
        main([f"source={lines(ROWS)}", "prompt_column=question", "output.path=new/p.parquet"])
    out = capsys.readouterr().out
    assert ended.value.code == 0
    assert f"next: python -m rollout data.input={here}/new/p.parquet" in out
    assert pq.read_schema("new/p.parquet").names == ["prompt", "question", "answer", "level"]


def test_help_fits_a_screen():
    text = HELP.splitlines()
    assert len(text) <= 40 and max(map(len, text)) <= 100


def test_a_preparation_that_is_stopped_leaves_nothing(here):
    rows = [{"q": "x" * 100}] * 200_000
    words = [f"source={lines(rows)}", "template={{ q }}", "output.path=out.parquet", "shuffle=true"]
    process = subprocess.Popen(
        [sys.executable, "-m", "rollout.prepare", *words], env=environment(),
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    child = psutil.Process(process.pid)
    while not any(file.path.endswith("in.jsonl") for file in child.open_files()):
        time.sleep(0.05)
    process.terminate()
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 143 and "nothing was written to" in errors
    assert [path.name for path in here.iterdir()] == ["in.jsonl"]


def test_a_file_that_joins_the_source_makes_it_another(here):
    (here / "d").mkdir()
    for name in "ab":
        (here / f"d/{name}.jsonl").write_text(json.dumps({"question": name}))
    path, settings = here / "out.parquet", Prepare(source="d", prompt_column="question")
    made(here, "d", prompt_column="question")
    assert is_made_by(path, settings)
    (here / "d/c.jsonl").write_text('{"question": "c"}')
    assert not is_made_by(path, settings)

"""The page of a run, whatever state its directory is in."""

import json
import os
import re
import shlex
import shutil
import signal

import pytest
from processes import start, wait_for
from reported import (
    FAILING,
    SLOW,
    chart,
    facts,
    figure,
    launch,
    notes,
    page,
    questions,
    section,
    tables,
    titles,
    write_input,
)
from resuming import SCRIPTED

from rollout.errors import UserError
from rollout.report.listing.entry import entry_of
from rollout.report.page import Browser, Code
from rollout.report.run.page import page_of
from rollout.system.formats.plain_yaml import read_yaml


@pytest.fixture
def here(typed):
    write_input(typed.here, questions(40, failing=(3, 7)))
    return typed.here


def commands(section):
    return [block.text for block in section.blocks if isinstance(block, Code)]


def test_a_complete_run_has_a_verdict_five_figures_and_every_section(typed, here):
    launch(typed, "sampling.temperature=0.7")
    found = page(here)
    assert found.title == "scripted engine · x"
    assert found.verdict.startswith("complete: 40 rows, 114 samples; 2 rows failed")
    assert found.verdict_style == "warning"
    assert [f.label for f in found.figures] == [
        "output tokens/s", "samples", "truncated", "mean response tokens", "distinct",
    ]  # fmt: skip
    assert titles(found) == [
        "Throughput over time", "Responses", "Slowest rows", "Failed rows", "Samples", "Settings",
    ]  # fmt: skip
    assert "in.parquet: 40 rows; n 3, temperature 0.7" in "\n".join(found.subtitle)


def test_the_speed_says_over_which_seconds_it_is_counted(typed, here):
    launch(typed)
    summary = json.loads((here / "x/summary.json").read_text())
    found = figure(page(here), "output tokens/s")
    assert found.value == f"{summary['output_tokens_per_s']:,.0f}"
    assert "over the generation" in found.note and "without load" in found.note


def test_failed_rows_are_grouped_by_reason_and_open_in_the_sample_browser(typed, here):
    launch(typed)
    (table,) = tables(section(page(here), "Failed rows"))
    (row,) = table.rows
    assert row.cells == ["2", "the prompt has 5001 tokens; max_model_len is 4096", "3, 7"]
    assert row.prompt == 3
    (browser,) = section(page(here), "Samples").blocks
    assert isinstance(browser, Browser)
    assert {3, 7} <= {prompt.number for prompt in browser.prompts}


def test_the_settings_repeat_the_run_in_another_directory(typed, here):
    launch(typed, "sampling.seed=7", "resume=fresh")
    first, config = commands(section(page(here), "Settings"))
    assert first.endswith("sampling.n_samples=3 sampling.seed=7 run_dir=x-again")
    assert "resume" not in first
    assert "  seed: 7\n" in config
    assert facts(section(page(here), "Settings"))["engine"] == "scripted"


def test_a_resumed_run_is_repeated_with_the_settings_that_it_has_now(typed, here):
    """Words of a resume are too few: without the first launch's, they run the demo."""
    launch(
        typed, "sampling.temperature=0.7", "output.path=o.parquet", "engine.extra.api_key=hunter2x"
    )
    assert typed("run_dir=x", "sampling.n_samples=5", "engine.extra.api_key=hunter2x").code == 0
    command = shlex.split(commands(section(page(here), "Settings"))[0])
    words = [word.replace("=***", "=hunter2x") for word in command[3:]]
    assert typed(*words).code == 0
    first, again = (
        read_yaml((here / d / "config.yaml").read_text())
        for d in ("x/attempts/2", "x-again/attempts/1")
    )
    differ = {key for key, value in first.items() if again[key] != value}
    assert again["sampling"]["n_samples"] == 5 and again["sampling"]["temperature"] == 0.7
    assert differ <= {"run_dir", "output", "given", "presets"}
    assert (here / "x-again/output.parquet").exists()


def test_no_secret_that_was_typed_is_on_the_page(typed, here):
    launch(typed, "engine.extra.api_key=hunter2hunter2", "engine.extra.hf_token=abc12345")
    found = repr(page(here))
    assert "hunter2" not in found and "abc12345" not in found
    assert "***" in found


def test_a_run_whose_rows_all_failed_is_called_failed(typed, here):
    write_input(here, [FAILING] * 3)
    launch(typed)
    found = page(here)
    assert found.verdict.startswith("failed: every row failed")
    assert found.verdict_style == "bad"
    assert figure(found, "truncated").value == "not known"
    assert figure(found, "mean response tokens").value == "not known"
    assert figure(found, "samples").value == "0"


def test_a_run_that_died_says_why_how_far_it_got_and_what_to_type(typed, here):
    done = launch(typed, "engine.max_num_seqs=8", "engine.max_restarts=0",
                  "engine.scripted.die_after_steps=60")  # fmt: skip
    assert done.code == 1
    found = page(here)
    assert found.verdict.startswith("failed: the scripted engine died at step 61")
    assert "of 40 rows finished" in found.verdict
    (command,) = commands(section(found, "To resume"))
    assert " run_dir=x sampling.n_samples=3 engine.max_num_seqs=8 " in command
    assert "Rows with short responses finish first" in section(found, "Responses").note


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_page_follows_a_run_that_is_stopped_in_the_middle(tmp_path, number):
    write_input(tmp_path, questions(400))
    metrics = tmp_path / "x/attempts/1/metrics.jsonl"
    with start(*SCRIPTED, *SLOW, "sampling.n_samples=3", cwd=tmp_path) as process:
        wait_for(lambda: metrics.exists() and metrics.read_bytes().count(b"\n") > 2)
        wait_for(lambda: list((tmp_path / "x/shards").glob("*.log")))
        running = page(tmp_path)
        os.kill(process.pid, number)
        process.communicate()
    assert running.verdict.startswith("running: ") and running.verdict_style == "neutral"
    (num_rows,) = re.findall(r"running: (\S+) of 400 rows", running.verdict)
    assert figure(running, "samples").note.startswith(f"{num_rows} of 400 rows")
    assert "To resume" not in titles(running)
    stopped = page(tmp_path)
    assert stopped.verdict.startswith("resumable: ")
    how = "interrupted" if number == signal.SIGINT else "killed"
    assert f"the last launch was {how}" in stopped.verdict
    assert "To resume" in titles(stopped)
    assert int(figure(stopped, "output tokens/s").value.replace(",", "")) > 0
    assert "as far as it got" in figure(stopped, "output tokens/s").note
    (row,) = tables(section(stopped, "Throughput over time"))[-1].rows
    assert row.cells[5] == figure(stopped, "output tokens/s").value
    assert f"{entry_of(tmp_path / 'x').output_tokens_per_s:,.0f}" == row.cells[5]


def test_two_launches_follow_each_other_on_one_axis(typed, here):
    write_input(here, questions(60))
    launch(typed, *SLOW, "engine.max_restarts=0", "engine.scripted.die_after_steps=60")
    launch(typed, *SLOW)
    found = page(here)
    throughput = chart(found, "throughput")
    assert throughput.spans[0].name == "attempt 1: load"
    assert "attempt 2: load" in [span.name for span in throughput.spans]
    assert "pauses between them are left out" in throughput.note
    assert list(throughput.x) == sorted(throughput.x)
    assert None in throughput.series[0].values  # no engine was up between the two
    attempts = tables(section(found, "Throughput over time"))[-1]
    assert [row.cells[0] for row in attempts.rows] == ["1", "2"]
    assert attempts.rows[0].style == "failed"
    assert "in 2 launches" in "\n".join(found.subtitle)


def test_a_run_that_was_topped_up_shows_the_samples_it_has_now(typed, here):
    launch(typed)
    launch(typed, "sampling.n_samples=5")
    found = page(here)
    assert found.verdict.startswith("complete: 40 rows, 190 samples")
    assert figure(found, "samples").note == "40 rows, n=5; 2 rows failed"
    assert "n 5" in "\n".join(found.subtitle)


def test_damaged_records_are_named_and_the_rest_is_shown(typed, here):
    launch(typed)
    attempt = here / "x/attempts/1"
    lines = (attempt / "metrics.jsonl").read_bytes()
    (attempt / "metrics.jsonl").write_bytes(b"\0garbage\n[1]\n" + lines + b'{"elapsed_s": 9')
    (here / "x/summary.json").write_text("{")
    (attempt / "summary.json").write_text('{"spans": 3}')
    (attempt / "config.yaml").write_text("a: [")
    found = page(here)
    said = notes(section(found, "What could not be read"))
    assert "attempts/1/metrics.jsonl: left out 2 lines that can't be read" in said
    assert "summary.json is damaged" in said
    assert "attempts/1/config.yaml is not YAML" in said
    assert figure(found, "samples").value == "114"
    assert chart(found, "throughput").series[0].values[0] > 0


def test_a_damaged_shard_is_named_and_the_other_rows_are_counted(typed, here):
    launch(typed)
    part = here / "x/shards/00000000.parquet"
    part.write_bytes(part.read_bytes()[:-40])
    found = page(here)
    assert "00000000.parquet is damaged" in notes(section(found, "What could not be read"))
    assert found.verdict.startswith("complete: 40 rows; ")
    assert figure(found, "samples").value == "not known"
    assert figure(found, "samples").note.startswith("0 could be read: 0 of 40 rows")


def test_without_shards_the_published_file_is_counted(typed, here):
    launch(typed)
    before = page(here)
    shutil.rmtree(here / "x/shards")
    found = page(here)
    assert found.figures[1:] == before.figures[1:]
    assert "shards/ is gone" in notes(section(found, "What could not be read"))
    assert chart(found, "lengths") == chart(before, "lengths")


def test_the_records_of_an_older_version_are_enough(typed, here):
    """Dates, spans and phases came later."""
    launch(typed)
    attempt = here / "x/attempts/1"
    newer = {
        "x/run.json": ("created",),
        "x/summary.json": ("spans", "finished", "model", "input", "n_samples"),
        "x/attempts/1/summary.json": ("spans", "finished", "model", "input", "n_samples"),
        "x/attempts/1/environment.json": ("started",),
        "x/attempts/1/ended.json": ("ended", "exit_code", "error"),
    }
    for name, fields in newer.items():
        record = json.loads((here / name).read_text())
        older = {key: value for key, value in record.items() if key not in fields}
        (here / name).write_text(json.dumps(older))
    metrics = [json.loads(text) for text in (attempt / "metrics.jsonl").read_text().splitlines()]
    text = "".join(json.dumps({k: v for k, v in m.items() if k != "phase"}) + "\n" for m in metrics)
    (attempt / "metrics.jsonl").write_text(text)
    found = page(here)
    assert found.verdict.startswith("complete: 40 rows, 114 samples")
    assert {"load", "fill"} <= {span.name for span in chart(found, "throughput").spans}


def test_the_launch_that_ends_does_not_call_itself_running(typed, here):
    launch(typed)
    lock = here / "x/.rollout.lock"
    lock.write_text(json.dumps({"pid": os.getpid(), "host": os.uname().nodename}))
    assert page_of(here / "x").verdict.startswith("running")
    assert page_of(here / "x", is_ending=True).verdict.startswith("complete")


def test_a_directory_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"has no run\.json, so it is not a run; type "):
        page_of(tmp_path)

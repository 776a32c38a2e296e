"""The page of a run without its shards, or with records of wrong types: no false statement."""

import json
import shutil

import pandas as pd
import pytest
from reported import (
    figure,
    launch,
    line,
    notes,
    page,
    questions,
    section,
    tables,
    titles,
    write_input,
)


@pytest.fixture
def here(typed):
    write_input(typed.here, questions(40, failing=(3, 7)))
    return typed.here


def without_shards(typed, here, *words):
    launch(typed, *words)
    shutil.rmtree(here / "x/shards")
    return page(here)


def test_an_output_per_sample_without_shards_has_the_counts_of_the_summary(typed, here):
    """It said 0 samples, and that no row was finished."""
    launch(typed, "output.layout=per_sample")
    length = figure(page(here), "mean response tokens")
    found = without_shards(typed, here, "output.layout=per_sample")
    assert figure(found, "mean response tokens") == length
    assert figure(found, "samples").value == "114" and "114 samples" in found.verdict
    assert not {"Responses", "Slowest rows", "Failed rows"} & set(titles(found))
    assert "not counted" in notes(section(found, "What could not be read"))


def test_failed_rows_that_the_output_leaves_out_are_not_denied(typed, here):
    found = without_shards(typed, here, "data.on_error=skip")
    assert notes(section(found, "Failed rows")) == "2 rows failed; they are not in the output."
    assert "numbered as they stand there" in notes(section(found, "What could not be read"))


def test_columns_that_the_input_had_are_not_counted_as_the_runs(typed, here):
    """Latencies and lengths of the input's own columns were shown as the run's."""
    frame = pd.read_parquet(here / "in.parquet")
    frame["latency_s"], frame["num_repetitive"] = 1000.0, 3
    frame.to_parquet(here / "in.parquet")
    found = without_shards(typed, here, "output.columns=[finish_reason]")
    assert "Slowest rows" not in titles(found)
    repetitive = tables(section(found, "Responses"))[0].rows[-1]
    assert repetitive.cells[:2] == ["repetitive", "not known"]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("run.json", lambda r: r["config"].update(model=3)),
        ("run.json", lambda r: r["fingerprint"].update({"data.prompt_key": []})),
        ("published.json", lambda r: r.update(scoring={"prefix": -1})),
        ("published.json", lambda r: r.update(scoring={"answer_key": 2})),
    ],
)
def test_a_record_of_wrong_types_costs_only_its_section(typed, here, name, change):
    launch(typed)
    path = here / "x" / name
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
    assert titles(page(here))[-2:] == ["Samples", "Settings"]


def test_a_limit_that_no_sample_reached_is_not_blamed(typed, here):
    """Samples that were kept when max_tokens was raised had been cut off by the old limit."""
    launch(typed, "sampling.max_tokens=5")
    launch(typed, "sampling.max_tokens=500")
    assert "max_tokens=500" not in figure(page(here), "truncated").note


def test_a_rate_of_zero_is_a_number(typed, here):
    """A run whose rows all failed said that its rate was not known, and no row finished."""
    launch(typed, "engine.scripted.refuse=q")
    found = page(here)
    assert figure(found, "output tokens/s").value == "0"
    assert "over the generation" in figure(found, "output tokens/s").note
    assert "every figure over time is 0" in notes(section(found, "Throughput over time"))
    (here / "x/attempts/1/summary.json").unlink()
    assert figure(page(here), "output tokens/s").value == "0"
    assert "kept tokens, over" in figure(page(here), "output tokens/s").note


def test_a_rate_is_not_known_while_no_row_is_finished(typed, here):
    launch(typed)
    (here / "x/attempts/1/summary.json").unlink()
    metrics = here / "x/attempts/1/metrics.jsonl"
    metrics.write_text(line(3.0, num_rows=0, num_generated_tokens=0))
    found = figure(page(here), "output tokens/s")
    assert found.value == "not known" and found.note.startswith("no row was finished")
    metrics.write_text(line(3.0, num_rows=7))
    assert figure(page(here), "output tokens/s").note.startswith("kept tokens are not recorded")


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ("scored.parquet", "scored.parquet is missing: scores are not shown; summary.json has"),
        ("attempts/1/summary.json", "attempts/1/summary.json is missing"),
        ("attempts/1/config.yaml", "attempts/1/config.yaml is missing"),
        ("attempts/1/environment.json", "attempts/1/environment.json is missing"),
        ("attempts/1/metrics.jsonl", "attempts/1/metrics.jsonl is missing"),
        ("attempts", "attempts/ is missing"),
    ],
)
def test_a_missing_record_is_named(typed, here, gone, said):
    """A deleted scored.parquet took the scores off the page without a word."""
    launch(typed, "postprocess.scorer=math", "postprocess.answer_key=id")
    assert "What could not be read" not in titles(page(here))
    path = here / "x" / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert said in notes(section(page(here), "What could not be read"))


def test_a_launch_that_only_published_misses_nothing(typed, here):
    launch(typed)
    launch(typed, "output.columns=[finish_reason]")
    assert len(list((here / "x/attempts").iterdir())) == 2
    assert "What could not be read" not in titles(page(here))

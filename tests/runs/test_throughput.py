"""The figures of whole runs on the scripted engine: what is counted, and over which time."""

import json
from functools import partial

import pandas as pd
import pytest
from processes import ROOT
from resuming import summary, write
from scripted_nvml import ScriptedNvml

from rollout.engines import scripted
from rollout.engines.base import EngineFacts
from rollout.runs.summary import summary_record

TEN_TOKENS = (
    "sampling.n_samples=1", "engine.scripted.vary=false", "engine.scripted.response_tokens=10",
)  # fmt: skip
DIES = ("engine.max_num_seqs=8", "engine.scripted.die_after_steps=25")


def lines(here, attempt=1, run="x"):
    path = here / run / "attempts" / str(attempt) / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def kept_tokens(here):
    lengths = pd.read_parquet(here / "x/output.parquet")["num_response_tokens"]
    return sum(sum(row) for row in lengths if row is not None)


def tokens(figures):
    """Return the tokens sampled, kept and discarded."""
    return tuple(figures[f"num_{name}_tokens"] for name in ("sampled", "generated", "discarded"))


def test_a_run_without_faults_keeps_all_that_it_samples(run, typed):
    assert run("sampling.n_samples=3").code == 0
    found = summary(typed.here)
    kept = kept_tokens(typed.here)
    assert tokens(found) == (kept, kept, 0)
    assert found["output_tokens_per_s"] == pytest.approx(kept / found["generate_s"])


def test_tokens_in_flight_when_an_engine_dies_are_discarded(run, typed):
    """In 25 steps, 8 at a time: 16 rows of 10 tokens, and 5 tokens of 8 more. Two engines die."""
    assert run(*TEN_TOKENS, *DIES).code == 0
    found = summary(typed.here)
    assert found["num_engine_restarts"] == 2
    assert tokens(found) == (480, 400, 80) and kept_tokens(typed.here) == 400


@pytest.mark.parametrize("more", [[], ["sampling.temperature=0"], ["engine.scripted.poison=n 17"]])
def test_what_is_kept_and_what_is_discarded_make_what_was_sampled(run, typed, more):
    words = "sampling.n_samples=4", "engine.max_num_seqs=8", "engine.scripted.die_after_steps=90"
    assert run(*words, *more).code == 0
    sampled, kept, discarded = tokens(summary(typed.here))
    copies = 4 if "sampling.temperature=0" in more else 1
    assert kept == kept_tokens(typed.here) / copies
    assert discarded > 0 and sampled == kept + discarded


def test_the_time_waited_for_a_new_engine_is_not_loading_and_is_counted_once(run, typed):
    assert run(*TEN_TOKENS, *DIES, "engine.scripted.load_s=0.2").code == 0
    found = summary(typed.here)
    assert 0.2 <= found["load_s"] < 0.4 <= found["reload_s"] < 0.8
    assert found["reload_s"] < found["generate_s"]
    phases_s = found["fill_s"] + found["steady_s"] + found["tail_s"]
    assert phases_s == pytest.approx(found["generate_s"])
    assert found["wall_s"] > found["load_s"] + found["generate_s"] + found["publish_s"]
    up_s = found["generate_s"] - found["reload_s"]
    assert found["engine_output_tokens_per_s"] == pytest.approx(480 / up_s)
    assert sum(span["end_s"] - span["start_s"] for span in found["reloads"]) == pytest.approx(
        found["reload_s"]
    )


def test_the_spans_follow_each_other_and_the_live_lines_name_their_phase(run, typed):
    slow = "engine.scripted.step_s=0.03", "engine.max_num_seqs=4", "tracking.interval_s=0.1"
    few = "sampling.n_samples=1", "data.limit=12", "engine.scripted.load_s=0.1"
    assert run(*slow, *few).code == 0
    spans = summary(typed.here)["spans"]
    assert [span["phase"] for span in spans] == ["load", "fill", "steady", "tail", "publish"]
    edges = [edge for span in spans for edge in (span["start_s"], span["end_s"])]
    assert edges == sorted(edges)
    found = lines(typed.here)
    order = [["fill", "steady", "tail"].index(line["phase"]) for line in found]
    assert order == sorted(order) and found[-1]["phase"] == "tail"
    assert found[-1]["num_generated_tokens"] == found[-1]["num_output_tokens"]


def test_scoring_has_its_own_seconds_and_names_its_phase_in_json(run, typed):
    """It was half of the wall time, and a gap on the chart."""
    words = "postprocess.scorer=regex", "postprocess.regex.pattern=.", "console=json"
    answers = ("postprocess.answer_key=prompt",)
    assert run(*words, *answers).code == 0, typed.errors
    found = summary(typed.here)
    last = found["spans"][-1]
    assert last["phase"] == "score" and last["end_s"] - last["start_s"] == found["score_s"] > 0
    events = [json.loads(line) for line in typed.out.splitlines()]
    progress = {e["phase"]: e for e in events if e["event"] == "progress"}
    for phase in ("publish", "score"):
        assert progress[phase]["rows"] == progress[phase]["num_rows"] == 40


def test_an_attempt_that_continues_samples_counts_only_the_new_tokens(run, typed):
    assert run(*TEN_TOKENS, "sampling.max_tokens=4").code == 0
    assert tokens(summary(typed.here)) == (160, 160, 0)
    more = "sampling.max_tokens=10", "continue_truncated=true"
    assert run(*TEN_TOKENS, *more).code == 0, typed.errors
    found = summary(typed.here)
    assert tokens(found) == (240, 240, 0) and found["num_output_tokens"] == 400


def test_an_attempt_that_generates_nothing_has_no_rates(run, typed):
    assert run().code == 0
    (typed.here / "x/output.parquet").unlink()
    assert run().code == 0
    found = summary(typed.here)
    assert (found["attempt"], found["generate_s"], found["load_s"]) == (2, 0, 0)
    assert tokens(found) == (0, 0, 0) and found["output_tokens_per_s"] is None
    assert [span["phase"] for span in found["spans"]] == ["publish"]


def test_points_that_share_an_engine_know_what_they_kept_and_not_what_was_sampled(typed):
    write(typed.here)
    words = "engine=scripted", "tracking=none", "data.input=in.parquet", "run_dir=s"
    assert typed("-m", *words, "sampling.temperature=0.5,1.0").code == 0
    for point in ("temperature=0.5", "temperature=1.0"):
        found = summary(typed.here, f"s/{point}")
        assert tokens(found) == (None, found["num_output_tokens"], None)
        written = lines(typed.here, run=f"s/{point}")
        assert {line["output_tokens_per_s"] for line in written} == {None}
        assert written[-1]["num_generated_tokens"] == found["num_output_tokens"]


def test_the_energy_of_the_gpus_is_that_of_the_generation(run, typed, monkeypatch):
    """Two GPUs use 50 J each between two readings; the first reading is before the first row."""
    nvml = ScriptedNvml(monkeypatch)
    nvml.more_j = 50.0
    monkeypatch.setattr(scripted, "EngineFacts", partial(EngineFacts, num_gpus=2))
    assert run(*TEN_TOKENS).code == 0, typed.errors
    found = summary(typed.here)
    assert found["energy_j"] == 2 * 50 * nvml.num_readings[0] > 0
    assert found["output_tokens_per_j"] == 400 / found["energy_j"]
    per_gpu = found["output_tokens_per_s"] / 2
    assert found["output_tokens_per_s_per_gpu"] == pytest.approx(per_gpu)
    assert found["output_tokens_per_gpu_hour"] == pytest.approx(3600 * per_gpu)
    line = lines(typed.here)[-1]
    assert (line["gpu_memory_gib"], line["gpu_utilization"], line["power_w"]) == (70, 0.75, 700)
    assert found["peak_memory_gib"] == 70


def test_a_summary_of_an_older_version_is_still_read(run, typed):
    assert run().code == 0
    path, now = typed.here / "x/summary.json", summary(typed.here)
    assert summary_record(path.parent) == now
    new = "spans", "reloads", "num_sampled_tokens", "reload_s", "gpu_hours", "energy_j"
    older = {name: value for name, value in now.items() if name not in new}
    path.write_text(json.dumps(older))
    assert summary_record(path.parent) == older


def test_the_docs_define_every_figure_of_a_run(run, typed):
    """With those of GPUs and replicas, whose names are known without them."""
    assert run("postprocess.scorer=exact", "postprocess.answer_key=prompt").code == 0, typed.errors
    gpus = "gpu_memory_gib", "gpu_utilization", "power_w", "num_replicas", "balance", "replicas"
    text = (ROOT / "docs/throughput.md").read_text()
    named = {*summary(typed.here), *lines(typed.here)[-1], *gpus}
    assert not {name for name in named if f"`{name}`" not in text}

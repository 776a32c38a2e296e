"""A job and the planner: refused in a second, settled before loading, stepped down without memory.

Uses the scripted engine where the engine does not matter; test_vllm_memory.py has real vLLM.
"""

import json

import pytest

from rollout.plan import device as planner_device
from rollout.runs.fitting import RECORD
from rollout.store.run_records import ENDED
from rollout.system import machine
from rollout.system.machine import Gpu, Machine

OOM = ("engine=scripted", "engine.scripted.oom_above=40", "sampling.n_samples=2")


@pytest.fixture
def on(monkeypatch):
    """Replace this machine by another one."""

    def set_machine(*gpus, available_gib=12.0, build="cuda"):
        monkeypatch.setattr(machine, "look", lambda: Machine(gpus, 4, 16.0, available_gib))
        monkeypatch.setattr(planner_device, "vllm_build", lambda: (build, "0.32.0"))

    return set_machine


@pytest.fixture
def qwen3_4b(tmp_path):
    """A directory that has the 4B model's config and no weights."""
    import yaml

    from rollout.config.presets import conf_dir

    shape = yaml.safe_load((conf_dir() / "model" / "qwen3_4b.yaml").read_text())["shape"]
    directory = tmp_path / "m4b"
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps(shape))
    return f"model.model_path={directory}", "engine.extra.load_format=dummy"


RTX_4090 = Gpu("RTX 4090", 23.5, 23.0)
A100 = Gpu("A100", 79.2, 78.7)


def test_an_impossible_preset_is_refused_with_numbers_and_what_to_type(typed, on, qwen3_4b):
    on(RTX_4090)
    line = typed.refused(*qwen3_4b, "engine=rtx_4090")
    assert "one request of 262,144 tokens needs 36.0 GiB" in line
    assert "type engine.max_model_len=" in line
    assert "engine.preflight=false" in line


def test_preflight_false_lets_it_pass(typed, on, qwen3_4b):
    on(RTX_4090)
    typed(*qwen3_4b, "engine=rtx_4090", "engine.preflight=false", "dry_run=true")
    assert typed.code == 0, typed.errors


def test_auto_reports_its_choice_and_why(typed, on, qwen3_4b):
    on(A100, A100)
    typed(*qwen3_4b, "dry_run=true")
    line = next(note for note in typed.notes if note.startswith("engine auto"))
    assert "takes tensor_parallel_size=2" in line
    assert "2 x A100" in line and "tokens:" in line and "limited by" in line


def test_with_scale_ray_auto_chooses_a_replica_instead_of_one_engine_on_all_gpus(
    typed, on, qwen3_4b
):
    on(A100, A100)
    typed(*qwen3_4b, "scale=ray", "dry_run=true")
    line = next(note for note in typed.notes if note.startswith("engine auto"))
    assert "tensor_parallel_size" not in line


def test_the_choice_of_auto_is_not_in_the_fingerprint(typed, on, qwen3_4b):
    """Its context is as long as the data needs, so the samples are the same."""
    on(RTX_4090)
    typed(*qwen3_4b, "dry_run=true")
    line = next(note for note in typed.notes if note.startswith("engine auto"))
    assert "max_model_len=" in line
    assert typed.code == 0


def test_memory_that_others_hold_is_seen(typed, on, qwen3_4b):
    on(Gpu("A100", 79.2, 20.0))
    line = typed.refused(*qwen3_4b, "engine=single_a100")
    assert "20.00 of 79.20 GiB are free" in line


def test_out_of_memory_with_fail_ends_with_the_command(typed):
    typed(*OOM)
    assert typed.code == 1
    assert "out of memory" in typed.errors[0]
    assert "engine.max_num_seqs=128, or engine.on_oom=step_down" in typed.errors[0]


@pytest.mark.parametrize("after_steps", [0, 5])
def test_step_down_answers_every_row_and_records_what_worked(typed, after_steps):
    """While loading, and in the middle of a run."""
    typed(
        *OOM, f"engine.scripted.oom_after_steps={after_steps}", "engine.on_oom=step_down",
        "run_dir=r",
    )  # fmt: skip
    assert typed.code == 0, typed.errors
    record = json.loads((typed.here / "r" / RECORD).read_text())
    assert record["changed"] == {"max_num_seqs": 32}
    summary = json.loads((typed.here / "r" / "summary.json").read_text())
    assert summary["num_failed"] == 0
    assert summary["engine"]["stepped_down"][-1] == "engine.max_num_seqs=32"


def test_the_next_launch_begins_with_what_worked(typed):
    words = (*OOM, "engine.on_oom=step_down", "run_dir=r")
    typed(*words)
    typed(*words, "sampling.n_samples=3")
    assert typed.code == 0
    assert not any("stepping down" in note for note in typed.notes)
    assert any("max_num_seqs=32" in note for note in typed.notes)


def test_rows_finished_before_memory_ran_out_are_kept(typed):
    """It runs out at step 40, when shorter rows are done; they are not generated again."""
    typed(
        *OOM, "engine.scripted.oom_after_steps=40", "engine.scripted.response_tokens=30",
        "engine.on_oom=step_down", "run_dir=r",
    )  # fmt: skip
    assert typed.code == 0, typed.errors
    summary = json.loads((typed.here / "r" / "summary.json").read_text())
    assert summary["num_rows"] == summary["num_generated_rows"]


def test_at_the_floor_the_run_ends_with_a_message(typed):
    typed("engine=scripted", "engine.scripted.oom_above=4", "engine.on_oom=step_down")
    assert typed.code == 1
    assert "is at its floor (max_num_seqs=8)" in typed.errors[0]


def test_a_sweep_over_engines_has_rows_for_what_does_not_fit(typed, on, qwen3_4b):
    on(RTX_4090)
    typed("-m", "engine=scripted,single_a100,dual_a100", *qwen3_4b, "run_dir=s")
    assert typed.code == 1
    import pyarrow.parquet as pq

    table = pq.read_table(typed.here / "s" / "sweep.parquet").to_pylist()
    errors = {row["point"].removeprefix("engine="): row["error"] for row in table}
    assert errors["scripted"] is None
    assert "needs 36.0 GiB" in errors["single_a100"]
    assert "2 CUDA GPUs" in errors["dual_a100"]


def test_points_of_a_sweep_share_the_engine_that_auto_chose(typed, on, qwen3_4b):
    on(A100)
    typed("-m", "sampling.max_tokens=64,128", *qwen3_4b, "run_dir=s", "dry_run=true")
    assert "2 points on 1 engine," in typed.out, typed.out


def killed(typed, monkeypatch):
    """Launch a run as if the kernel had killed it for memory; return its words."""
    words = ("engine=scripted", "engine.on_oom=step_down", "run_dir=r")
    typed(*words)
    (typed.here / "r/attempts/1" / ENDED).unlink()
    kills = machine.num_oom_kills()
    monkeypatch.setattr(machine, "num_oom_kills", lambda: kills + 1)
    return words


def test_a_run_that_the_kernel_killed_begins_smaller(typed, monkeypatch):
    """An engine in this process dies with the run: the next launch reads the kernel's count."""
    words = killed(typed, monkeypatch)
    typed(*words, "sampling.n_samples=9")
    assert any("stepping down to engine.max_num_seqs=128" in note for note in typed.notes)
    typed(*words, "sampling.n_samples=10")
    assert not any("stepping down" in note for note in typed.notes)


def test_what_can_only_be_guessed_is_not_refused(typed, on, tmp_path):
    """An unknown model family may be smaller than Llama's formula estimates."""
    config = {
        "model_type": "some_new_moe", "hidden_size": 8192, "num_hidden_layers": 200,
        "num_attention_heads": 64, "intermediate_size": 65536, "vocab_size": 200_000,
    }  # fmt: skip
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "config.json").write_text(json.dumps(config))
    on(A100)
    words = (f"model.model_path={tmp_path / 'm'}", "engine.extra.load_format=dummy")
    typed(*words, "engine=single_a100", "dry_run=true")
    assert typed.code == 0, typed.errors


@pytest.mark.parametrize(
    "changed", ['{"max_num_seqs": "x"}', '{"nope": 1}', '{"max_num_seqs": -5}', "5", "[", "null"]
)
def test_a_record_that_was_edited_is_not_used(typed, changed):
    words = (*OOM, "engine.on_oom=step_down", "run_dir=r")
    typed(*words)
    record = typed.here / "r" / RECORD
    label = json.loads(record.read_text())["hardware"]
    record.write_text(f'{{"hardware": "{label}", "changed": {changed}}}')
    typed(*words, "sampling.n_samples=3")
    assert typed.code == 0, typed.errors
    assert json.loads(record.read_text())["changed"] == {"max_num_seqs": 32}


def test_a_setting_typed_anew_beats_the_record(typed):
    words = (*OOM, "engine.on_oom=step_down", "run_dir=r")
    typed(*words)
    typed(*words, "sampling.n_samples=3", "engine.max_num_seqs=20")
    assert typed.code == 0
    assert any("max_num_seqs=20" in note for note in typed.notes)


def test_hf_overrides_are_not_refused_for_the_context_they_give(typed, on, qwen3_4b):
    on(A100)
    words = (*qwen3_4b, "engine=single_a100", "engine.max_model_len=300000", "dry_run=true")
    assert "own context of 262,144" in typed.refused(*words)
    typed(*words, "engine.extra.hf_overrides={max_position_embeddings:300000}")
    assert typed.code == 0, typed.errors


def test_a_cache_too_small_is_left_to_step_down(typed, on, qwen3_4b):
    """The ladder has a step for it; without on_oom=step_down the job is refused."""
    on(build="cpu")
    words = (*qwen3_4b, "engine=cpu", "engine.kv_cache_gib=0.01", "dry_run=true")
    assert "are left" in typed.refused(*words)
    typed(*words, "engine.on_oom=step_down")
    assert typed.code == 0, typed.errors


def test_a_dry_run_records_nothing_about_a_kill(typed, monkeypatch):
    words = killed(typed, monkeypatch)
    typed(*words, "sampling.n_samples=9", "dry_run=true")
    assert not (typed.here / "r" / RECORD).exists()
    assert not (typed.here / "r/attempts/1" / ENDED).exists()


def test_an_engine_whose_context_was_cut_does_not_serve_runs_that_need_more(tmp_path):
    from rollout.engines.base import Rung
    from rollout.engines.slot import Descent
    from rollout.plan.ladder import Ladder
    from rollout.plan.memory.fit import Needs

    descent = Descent(None, None)
    descent.steps = [Rung(None, {"max_model_len": 1024})]
    assert descent.is_enough(Ladder(None, None, Needs(longest=1000)))
    assert not descent.is_enough(Ladder(None, None, Needs(longest=5000)))

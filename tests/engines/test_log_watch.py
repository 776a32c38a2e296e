"""The engine's log: phases while it loads, and its complaints."""

import pytest

from rollout.engines.log_watch import MAX_SHOWN, LogReader, LogWatch
from rollout.engines.vllm import log
from rollout.system.console import Console

READER = LogReader("vllm", log.FIRST_PHASE, log.phase_of, log.complaint_of)
WARNING = "WARNING 2026-11-30 02:14:27,128 [vllm.config.vllm] "


@pytest.mark.parametrize(
    ("line", "phase"),
    [
        ("INFO 06-02 00:51:40 [gpu_model_runner.py:5040] Starting to load model m...",
         "loading weights"),
        ("Loading safetensors checkpoint shards:  56% Completed | 5/9 [00:13<00:11,  2.87s/it]",
         "loading weights, 5 of 9"),
        ("Loading fastsafetensors checkpoint shards:   0% Completed | 0/5 [00:00<?, ?it/s]",
         "loading weights, 0 of 5"),
        ("Multi-thread loading shards:  50% Completed | 1/2 [00:00<00:00,  1.25it/s]",
         "loading weights, 1 of 2"),
        ("(Worker_TP0 pid=1) INFO [gpu_model_runner.py:5150] Model loading took 7.64 GiB memory",
         "profiling memory"),
        ("INFO [backends.py:1148] Dynamo bytecode transform time: 8.52 s", "compiling"),
        ("INFO [monitor.py:48] torch.compile took 1.61 s in total", "profiling memory"),
        ("INFO [gpu_model_runner.py:6369] Profiling CUDA graph memory: PIECEWISE=16 (largest=16)",
         "profiling memory of CUDA graphs"),
        ("INFO [kv_cache_utils.py:1314] GPU KV cache size: 188,640 tokens",
         "warming up, KV cache for 188,640 tokens"),
        ("Capturing CUDA graphs (mixed prefill-decode, PIECEWISE):  45%|####5     | 23/51 [00:01<",
         "capturing CUDA graphs, 23 of 51"),
        ("INFO [gpu_model_runner.py:6582] Graph capturing finished in 5 secs, took 0.6 GiB",
         "warming up"),
        ("INFO [vllm.config.model] Using max model len 8192", None),
    ],
)  # fmt: skip
def test_a_line_of_vllms_log_tells_its_phase(line, phase):
    assert log.phase_of(line) == phase


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (WARNING + "Capping sizes", "Capping sizes"),
        ("(EngineCore pid=387) WARNING 03-08 16:44:29 [compilation.py:1233] Capping", "Capping"),
        ("ERROR 2026-11-30 02:14:27,128 [vllm.v1.engine.core] It failed", "It failed"),
        (WARNING + "Enforce eager set, disabling torch.compile", None),
        (WARNING + "Failed to create oneDNN linear, fallback to torch linear. Exception: x", None),
        (WARNING + "CPU backend doesn't allow to use `torch.set_num_threads` after", None),
        ("INFO 2026-11-30 02:14:27,127 [vllm.config.model] WARNING 1 [x] no", None),
        ("/x/dispatcher.py:138: FutureWarning: `torch` is deprecated", None),
    ],
)  # fmt: skip
def test_warnings_and_errors_are_told_from_what_every_run_prints(line, complaint):
    assert log.complaint_of(line) == complaint


def watched(path, lines, say_phase=lambda phase: None):
    watch = LogWatch(path, READER, Console())
    with watch.loading(say_phase):
        with path.open("a") as file:
            file.writelines(lines)
        watch.close()


def test_each_complaint_is_shown_once_and_safely(tmp_path, capfd):
    path = tmp_path / "engine.log"
    path.write_text(WARNING + "of an earlier launch\n")
    watched(path, [WARNING + f"took {n} ms\x1b[2J\n" for n in (7, 12)])
    assert capfd.readouterr().err == "vllm: took 7 ms\\x1b[2J\n"


def test_many_complaints_are_counted_and_the_log_is_named(tmp_path, capfd):
    path = tmp_path / "engine.log"
    watched(path, [f"{WARNING}no {'x' * n}\n" for n in range(1, MAX_SHOWN + 4)])
    lines = capfd.readouterr().err.splitlines()
    assert "".join(lines[MAX_SHOWN:]).replace("in    ", "in ") == f"vllm: 3 more in {path}"


def test_a_progress_bar_that_redraws_its_line_tells_every_phase(tmp_path):
    phases = []
    shards = "Loading safetensors checkpoint shards:  {0}% Completed | {0}/9 [00:13<\r"
    watched(tmp_path / "engine.log", [shards.format(n) for n in (1, 2)], phases.append)
    assert phases == ["importing vLLM", "loading weights, 1 of 9", "loading weights, 2 of 9"]

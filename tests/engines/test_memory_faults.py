"""All known messages about memory, and texts that only look like one, by kind and number."""

import re

import pytest
from oom_messages import MESSAGES
from oom_parts import traceback

from rollout.engines.memory_faults import NEXT_STEPS, PLACES, OomKind, Stage, explain, memory_fault

FAULTS = [message for message in MESSAGES if message.kind != "none"]
NAMES = [f"{at}-{message.kind}" for at, message in enumerate(MESSAGES)]
BARE = [m for m in MESSAGES if not m.text.startswith(("(", "INFO", "WARNING", "ERROR"))]
PREFIXES = [
    "(EngineCore_DP0 pid=1) ERROR 11-22 10:00:00 [core.py:1] ",
    "ERROR 2026-11-22 10:00:00,123 [vllm.v1.engine.core] ",
    "\x1b[0;36m(Worker_TP1 pid=7)\x1b[0;0m ",
    "[rank1]: ",
]
TORCH = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total "
    "capacity of 79.15 GiB of which 1.25 GiB is free."
)
DEAD = "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue."
KILLED = "RuntimeError: Engine core initialization failed. See root cause above. Failed core "
KILLED += "proc(s): {'EngineCore': -9}"
STEP = traceback("vllm/v1/worker/gpu_worker.py:1302:execute_model")
GRAPHS = traceback(
    "vllm/v1/worker/gpu_worker.py:908:compile_or_warm_up_model",
    "vllm/v1/worker/gpu_model_runner.py:6482:capture_model",
    "vllm/v1/worker/gpu_model_runner.py:5508:_dummy_run",
)


def kind_of(text: str, *stage, **more) -> str:
    fault = memory_fault(text, *stage, **more)
    return fault.kind.value if fault else "none"


@pytest.mark.parametrize("message", MESSAGES, ids=NAMES)
def test_every_known_message_has_its_kind_and_numbers(message):
    fault = memory_fault(message.text, Stage(message.stage))
    assert (fault.kind.value if fault else "none") == message.kind
    if fault:
        numbers = {name: fault.numbers.get(name) for name in message.numbers}
        assert numbers == pytest.approx(message.numbers, abs=6e-5)
        assert fault.message
        assert fault.message in message.text
        assert len(fault.message) <= 300
        assert "\n" not in fault.message


@pytest.mark.parametrize("message", BARE, ids=[message.kind for message in BARE])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_prefix_changes_nothing(message, prefix):
    text = "\n".join(prefix + line for line in message.text.split("\n"))
    if "Currently allocated" in message.text:  # a table, which loggers print bare
        text = prefix + message.text
    assert kind_of(text, Stage(message.stage)) == message.kind


@pytest.mark.parametrize("message", FAULTS, ids=[n for n in NAMES if not n.endswith("none")])
def test_an_explanation_is_one_line_with_a_number_and_ends_in_what_to_type(message):
    fault = memory_fault(message.text, Stage(message.stage))
    for model in ("Qwen/Qwen3-8B", "/a/very/long/path" * 30):
        line = explain(fault, model=model)
        assert len(line) <= 300
        assert len(line.splitlines()) == 1
        assert re.search(r"type (the same|nvidia-smi|a smaller|engine\.\w+=)[^;]*$", line)
        assert line.startswith("out of memory") or fault.kind is OomKind.profiling_race
        assert not fault.numbers or re.search(r"\d", line.split(";")[0].replace("Qwen3-8B", ""))


def test_each_kind_has_its_texts():
    kinds = {kind.value for kind in OomKind}
    assert set(PLACES) == {kind for kind, _ in NEXT_STEPS} == kinds


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "ValueError: Free memory on device cuda:0 (12.3/79.2 GiB) on startup is less than "
            "desired GPU memory utilization (0.9, 71.2 GiB).",
            "only 12.3 of 79.2 GiB of the GPU are free, and engine.gpu_memory_utilization=0.9 "
            "needs 71.2; stop the process that holds the GPU, or type "
            "engine.gpu_memory_utilization=0.13",
        ),
        (
            "To serve at least one request with the model's max seq len (262144), (36.0 GiB KV "
            "cache is needed, which is larger than the available KV cache memory (12.3 GiB). Based "
            "on the available memory, the estimated maximum model length is 89007.",
            "one request of 262,144 tokens needs 36.0 GiB of it, and 12.3 GiB are left; raise "
            "engine.kv_cache_gib or, on a GPU, engine.gpu_memory_utilization, or type "
            "engine.max_model_len=88992",
        ),
        (STEP + TORCH, "while running: 2.0 GiB more were requested, and 1.2 of 79.2 GiB"),
    ],
)
def test_the_numbers_decide_what_to_type(text, says):
    assert says in explain(memory_fault(text), model="m")


def test_advice_replaces_the_step():
    line = explain(memory_fault(TORCH), model="m", advice="engine.max_num_seqs=7")
    assert line.endswith("were free; type engine.max_num_seqs=7")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (f"{STEP}{TORCH}\n{DEAD}\n{KILLED}", "running"),
        (f"{KILLED}\n{GRAPHS}{TORCH}", "graphs"),  # the message, then the log
        (f"{GRAPHS}{TORCH}\n{STEP}{TORCH}", "graphs"),
        (f"{TORCH}\n{GRAPHS}{TORCH}", "graphs"),  # the first does not name a stage
        (f"{TORCH}\nTraceback (most recent call last):\nMemoryError", "running"),
        (f"{TORCH}\n{DEAD}\nRuntimeError: Engine core initialization failed.", "weights"),
        (f"{traceback('a.py:1:initialize_kv_cache')}{TORCH}", "no_kv_cache"),
        (f"{traceback('a.py:1:_initialize_kv_caches')}{TORCH}", "running"),  # wraps profiling too
        (f"{traceback('a.py:1:execute_dummy_batch', 'a.py:2:_dummy_run')}{TORCH}", "running"),
    ],
)
def test_the_first_and_most_specific_fault_counts(text, kind):
    assert kind_of(text) == kind


def test_the_tracebacks_of_two_processes_may_be_interleaved():
    lines = [GRAPHS.split("\n"), STEP.split("\n")]
    text = "".join(
        f"(Worker_TP{at} pid={at}) ERROR 11-22 10:00:00 [a.py:1] {line}\n"
        for pair in zip(*lines, strict=False) for at, line in enumerate(pair)
    )  # fmt: skip
    assert kind_of(f"{text}(Worker_TP1 pid=1) ERROR 11-22 10:00:00 [a.py:1] {TORCH}") == "running"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(-9, "killed"), (137, "killed"), (-11, "none"), (-6, "none"), (-15, "none"), (1, "none"),
     (0, "none"), (None, "none")],
)  # fmt: skip
def test_only_signal_9_is_taken_for_the_kernel_s(status, kind):
    assert kind_of("", exit_status=status) == kind
    assert kind_of(DEAD, Stage.run, exit_status=status) == kind


def test_an_abort_is_about_memory_only_if_it_says_so():
    message = "terminate called after throwing an instance of 'std::bad_alloc'"
    assert kind_of(message, exit_status=-6) == "host"
    assert kind_of(STEP + TORCH, exit_status=-9) == "running"


@pytest.mark.parametrize(
    "text",
    [
        f"KeyError: {TORCH!r}",
        f'ValueError: could not render "{TORCH}"',
        f"ValueError: Prompt: {TORCH}",
        f"ValueError: Prompt: {KILLED}",
        "ValueError: Prompt: MemoryError",
        "ValueError: Prompt: bash: fork: Cannot allocate memory",
        "TypeError: unhashable: 'OSError: [Errno 12] Cannot allocate memory'",
        "why is my GPU out of memory?\nWhat does std::bad_alloc mean?",
        "No memory of it. MemoryErrors and OutOfMemoryErrors are classes",
        f"INFO 11-22 10:00:00 [llm.py:1] Received request 0: prompt: {TORCH}",
        f"INFO 11-22 10:00:00 [llm.py:1] {TORCH}",
        '    raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")',
        f"    {TORCH}",
        "",
    ],
)
def test_quoted_messages_are_not_a_fault(text):
    for stage in Stage:
        assert memory_fault(text, stage) is None


def test_garbled_figures_are_left_out():
    fault = memory_fault(TORCH.replace("79.15", "..").replace("2.00 GiB", "2.00 GB"), Stage.run)
    assert fault.kind is OomKind.running
    assert set(fault.numbers) == {"free_gib"}
    assert "1.2" not in explain(fault, model="m")

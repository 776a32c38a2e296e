"""Detect that an engine ran out of memory: where, by how much, and what to type next.

Works on texts alone; must not know about the engine. A library's message counts only at the start
of a line, after a log prefix and exception names. Quoted text, as in a prompt, does not count.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum, auto
from itertools import takewhile


class OomKind(StrEnum):
    """What did not fit."""

    no_free_memory = auto()  # other processes hold the GPU: too little is free to start
    profiling_race = auto()  # other processes freed GPU memory during profiling; nothing is short
    weights = auto()  # the model, while loading
    profile = auto()  # the trial pass at full batch, which measures the activations
    no_kv_cache = auto()  # the KV cache: nothing is left for it, or allocating it failed
    kv_cache_too_small = auto()  # the KV cache can't hold one request of the full context
    graphs = auto()  # the CUDA graphs, while they are captured
    running = auto()  # a step of the run
    host = auto()  # the machine's own memory, not the GPU's
    killed = (
        auto()
    )  # no message: the process was killed by signal 9, as the kernel's OOM killer does


# The engine's stage as the caller sees it; the frames of a traceback are more precise.
Stage = StrEnum("Stage", "load profile kv graphs run any")


@dataclass(frozen=True, slots=True)
class MemoryFault:
    kind: OomKind
    numbers: dict[str, float | int]  # the keys of NUMBERS, and signal
    message: str  # the library's own line, at most 300 characters


MAX_CHARS = 300
STAGE_KINDS = {
    "load": "weights", "profile": "profile", "kv": "no_kv_cache", "graphs": "graphs",
    "run": "running",
}  # fmt: skip
FRAMES = (  # the most specific first: trial passes capture graphs, and may call execute_model
    ("running", r"execute_dummy_batch"),
    ("graphs", r"capture_(?:model|begin|end)|_capture_cudagraphs|_warmup_and_capture"),
    ("profile", r"profile_\w+|_dummy_\w+|determine_available_memory|compile_or_warm_up_\w+"),
    ("no_kv_cache", r"initialize_(?:from_config|kv_cache\w*)|_allocate_kv_cache\w*"),
    ("weights", r"load_(?:model|weights)|create_weights|initialize_model|\w+_after_loading"),
    ("running", r"execute_model|sample_tokens|_process_engine_step|step_with_batch_queue"),
    ("no_free_memory", r"init_device|init_worker_distributed_environment"),
)
DEVICE = (  # messages that do not name the stage: it follows from the frames and the caller
    r"[A-Z]{3,4}(?: backend)? out of memory\. Tried to allocate [\d.]+ \w+"
    r"|[A-Z]{3,4}(?: driver)? [Ee]rror: out of memory"
    r"|Triton Error \[\w+\]: out of memory|Allocation on device \d+ would exceed allowed memory"
    r"|CUDA error: \w+_STATUS_ALLOC_FAILED"
    r"|(?:[^'\"]*NCCL WARN )?(?:Cuda failure (?:\d+ )?'out of memory'|Failed to CUDA \w*alloc)"
    r"|(?:torch\.(?:cuda\.)?)?OutOfMemoryError(?:: |$)"
)
BLAS = r"CUDA error: CUBLAS_STATUS_NOT_INITIALIZED"  # alone it may be a broken driver
WORKSPACE = (  # FlashInfer's workspace, of a fixed size
    r"(?:Error in function '\w+' at )?\S*allocator\.h:\d+: Buffer overflow when allocating memory"
    r"|Out of workspace memory in Aligned"
)
MESSAGES = (  # None: the kind follows from the stage
    ("no_free_memory", r"Free memory on device[^(]*\([\d.]+/[\d.]+ GiB\) on startup is less"),
    ("no_free_memory", r"Externally held weights on device"),
    ("profiling_race", r"Error in memory profiling\. Initial free memory"),
    ("weights", r"Failed to load model - not enough GPU memory"),
    ("profile", r"CUDA out of memory occurred when warming up"),
    ("no_kv_cache", r"No available memory for the cache blocks|Cannot auto-fit max_model_len"),
    ("kv_cache_too_small", r"To serve at least one request with the model"),
    ("kv_cache_too_small", r"The model's max seq len \(\d+\) is larger than the maximum"),
    ("host", r"Available memory on node \d+ \("),
    ("host", r"(?:\[enforce fail at .*\] ?[\w =.]*)?DefaultCPUAllocator: "),
    ("host", r"[^'\"]*Cannot allocate memory \((?:os error )?12\)"),
    ("host", r"\[Errno 12\] |(?:[\w./-]+: )?(?:fork|mmap)[\w ]*: Cannot allocate memory"),
    ("host", r"(?:terminate called .*'|\s*what\(\):\s+)?std::bad_alloc"),
    ("host", r"Resource temporarily unavailable$"),  # no room for a thread's stack
    ("host", r"\S+: failed to map segment from shared object"),
    ("host", r"memory allocation of \d+ bytes failed|LLVM ERROR: out of memory"),
    ("host", r"(?:\S+ )?[1-9]\d* Workers? \(tasks / actors\) killed due to memory"),
    ("host", r"(?:\w+\.)*_?(?:Array)?MemoryError(?:: |$)|ray\.exceptions\.OutOfMemoryError"),
    ("killed", r"(?:\[[\d. ]+\] )?Out of memory: Killed process \d+"),
    ("killed", r"Engine core initialization failed\. [^{]*\{[^}]*': -9\b"),
    ("killed", r"(?:Worker|Engine core) proc \S+ died unexpectedly \(exit code: -9\)"),
    ("killed", r"Process \S+ \(PID: \d+\) died with exit code -9\b"),
    ("killed", r"its core's process was killed by signal 9\b"),
    *((None, pattern) for pattern in (DEVICE, BLAS, WORKSPACE)),
)
COLORS = re.compile(r"\x1b\[[\d;]*m")
PREFIX = re.compile(  # as vLLM's loggers, ray and torch write before a line
    r"(?:\[rank\d+\]:\s?)?(?P<process>\([^()]*\)\s?)?(?:(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL)"
    r"\s(?:[\d-]+\s[\d:,.]+\s)?\[[^\]]+\]\s?)?"
)
WRAPPERS = (  # may come between a prefix and the message
    r"(?:[A-Za-z_][\w.]*(?:Error|Exception): ){0,4}"
    r"(?:Worker failed with error ['\"]|Engine loop is not running\. [\w ]+: )?"
    r"(?:(?:\w+\.)*OutOfMemoryError\(['\"])?"
)
COMPILED = [(kind, pattern, re.compile(f"{WRAPPERS}(?:{pattern})")) for kind, pattern in MESSAGES]
FRAME = re.compile(r'\s*File "[^"]*", line \d+, in (\w+)')
NOT_STARTED = re.compile(r"EngineCore failed to start|Engine core initialization failed")

NUMBER = r"(-?\d+(?:\.\d+)?)"
SIZE = rf"{NUMBER} ([KMGT]iB|bytes)"
IN_GIB = {"and": 2**-30, "bytes": 2**-30, "KiB": 2**-20, "MiB": 2**-10, "GiB": 1, "TiB": 2**10}
LEFT_FOR_CACHE = re.compile(rf"Available KV cache memory: {NUMBER} GiB")
ALLOCATOR_TABLE = re.compile(rf"[A-Z][\w ()]*: {SIZE}$")  # as torch's cudaMallocAsync prints it
FREE_OF = r"(?:Free memory on device|Available memory on node)[^(]*"
NUMBERS = {  # the groups: a size and its unit, or a count
    "tried_gib": rf"(?:[Tt]ried|Unable) to allocate {SIZE}|unable to mmap {SIZE}"
    rf"|Requested +: {SIZE}|memory allocation of {SIZE}|memory for \w+ with size (\d+) (and)",
    "total_gib": rf"total capaci?ty of {SIZE}|{SIZE} total capacity|Device limit +: {SIZE}"
    rf"|{FREE_OF}\([\d.]+/{SIZE}\)|Externally held weights[^(]*\([\d.]+/{SIZE}\)",
    "free_gib": rf"of which {SIZE} is free|{SIZE} free;|Free \(according to CUDA\): {SIZE}"
    rf"|{FREE_OF}\({NUMBER}/[\d.]+ (GiB)\)|current free memory {SIZE}|but only {SIZE} available",
    "in_use_gib": rf"this process has {SIZE} memory in use|Process \d+ has {SIZE} memory in use"
    rf"|Externally held weights[^(]*\({NUMBER}/[\d.]+ (GiB)\)",
    "initial_free_gib": rf"Initial free memory {SIZE}",
    "requested_gib": rf"requested memory for kv \({NUMBER}(?:/[\d.]+)? (GiB)\)"
    rf"|(?:utilization|weights) \([\d.]+, {SIZE}\)",
    "utilization": rf"(?:utilization|weights) \({NUMBER},",
    "needed_gib": rf"{SIZE} KV cache is needed",
    "available_gib": rf"available KV cache memory \({SIZE}\)",
    "max_model_len": r"max seq len \((\d+)\)",
    "estimated_max_model_len": r"model length is (\d+)|stored in KV cache \((\d+)\)",
    "requests": r"with (\d+) dummy requests",
}

# Texts for the user. The first row of a kind whose figures are all known is used.
PLACES = {
    "no_free_memory": "out of memory at the start",
    "profiling_race": "GPU memory changed while it was measured",
    "weights": "out of memory loading the weights of {model}",
    "profile": "out of memory in the trial pass",
    "no_kv_cache": "out of memory making the KV cache",
    "kv_cache_too_small": "out of memory making the KV cache",
    "graphs": "out of memory capturing the CUDA graphs",
    "running": "out of memory while running",
    "host": "out of memory on the host",
    "killed": "out of memory, apparently",
}
ONE = "one request of {max_model_len} tokens "
FREE = "only {free} of {total} GiB of the GPU are free, and engine.gpu_memory_utilization="
SITUATIONS = (
    ("no_free_memory", FREE + "{utilization} needs {requested}"),
    ("no_free_memory", "externally held weights take {in_use} of {total} GiB of the GPU"),
    ("profiling_race", "{initial_free} GiB were free, then {free}; another process freed memory"),
    ("profile", "{requests} concurrent samples are too many"),
    ("kv_cache_too_small", ONE + "needs {needed} GiB of it, and {left}"),
    ("kv_cache_too_small", ONE + "is more than the {estimated_max_model_len} it holds"),
    ("host", "{requested} GiB were requested, and {free} are free"),
    ("host", "{tried} GiB were requested at once"),
    ("killed", "its process was killed by signal {signal}, as the kernel does to free memory"),
    ("", "{tried} GiB more were requested, and {free} of {total} GiB were free"),
    ("", "{tried} GiB more were requested, and {free} were free"),
    ("", "{tried} GiB more were requested"),
    ("no_kv_cache", "{left} after the weights and the trial pass"),
    ("no_kv_cache", "nothing is left after the weights and the trial pass"),
)
MORE_KV = "raise engine.kv_cache_gib or, on a GPU, engine.gpu_memory_utilization, or type "
LESS = "use a smaller model or a machine with more memory, or on a CPU type engine.kv_cache_gib=1"
STOP = "stop the process that holds "
NEXT_STEPS = (
    ("no_free_memory", STOP + "the GPU, or type engine.gpu_memory_utilization={share}"),
    ("no_free_memory", STOP + "the GPU; to see it, type nvidia-smi"),
    ("profiling_race", "wait until the GPU is idle, then type the same command again"),
    ("weights", "use a smaller or quantized model, or type engine.tensor_parallel_size=2"),
    ("profile", "type engine.max_num_seqs={fewer_requests}"),
    ("profile", "type engine.max_num_seqs=64 engine.max_num_batched_tokens=2048"),
    ("no_kv_cache", "leave {tried} GiB more free: type engine.gpu_memory_utilization=0.8"),
    ("no_kv_cache", "raise engine.kv_cache_gib or type engine.gpu_memory_utilization=0.95"),
    ("kv_cache_too_small", MORE_KV + "engine.max_model_len={fitting_len}"),
    ("kv_cache_too_small", MORE_KV + "a smaller engine.max_model_len"),
    ("graphs", "type engine.enforce_eager=true"),
    ("running", "type engine.gpu_memory_utilization=0.8"),
    ("host", STOP + "it, or type engine.gpu_memory_utilization={share}"),
    ("host", STOP + "it, or type engine.kv_cache_gib={fitting_cache}"),
    ("host", LESS),
    ("killed", LESS),
)


def memory_fault(
    text: str, stage: Stage = Stage.any, exit_status: int | None = None
) -> MemoryFault | None:
    """Return the memory fault in a message, a traceback or lines of a log; None if there is none.

    The first match counts, since the others follow from it. A killed process counts only if
    nothing else matches. `exit_status` is that of the process (-9 or 137: killed).
    """
    found = sorted(_matches(text, stage), key=lambda match: match[0] == "killed")
    if not found and exit_status in (-9, 137):
        found = [("killed", {}, f"exit status {exit_status}")]
    if not found:
        return None
    kind, numbers, message = found[0]
    kind = kind or next((k for k, *_ in found if k in STAGE_KINDS.values()), None)
    kind = kind or STAGE_KINDS.get(stage)
    kind = OomKind(kind or ("weights" if NOT_STARTED.search(text) else "running"))
    for later, more, _ in found[1:]:
        numbers = more | numbers if later == kind else numbers
    if kind == "killed":
        numbers["signal"] = 9
    if kind == "no_kv_cache" and (left := LEFT_FOR_CACHE.findall(text)):
        numbers.setdefault("available_gib", min(map(float, left)))
    return MemoryFault(kind, numbers, message)


def _matches(text: str, stage: Stage) -> Iterator[tuple[str | None, dict[str, float | int], str]]:
    """Yield the lines about memory, in order: the kind (None if unknown), numbers, message."""
    functions: dict[str, list[str]] = {}  # of the last traceback, by process
    lines = COLORS.sub("", text).replace("\r", "").split("\n")
    for at, line in enumerate(lines):
        prefix = PREFIX.match(line)
        process, body = prefix["process"] or "", line[prefix.end() :]
        if prefix["level"] in ("DEBUG", "INFO", "WARNING"):
            continue
        if body.startswith("Traceback (most recent call last)"):
            functions[process] = []
        elif frame := FRAME.match(body):
            functions.setdefault(process, []).append(frame[1])
        elif row := next((row for row in COMPILED if row[2].match(body)), None):
            kind, pattern, _ = row
            frames = functions.get(process, ())
            rows = (k for k, names in FRAMES if any(re.fullmatch(names, f) for f in frames))
            seen = next(rows, None)
            where = seen or STAGE_KINDS.get(stage)
            if pattern is BLAS and where not in ("profile", "graphs"):
                continue
            if pattern is WORKSPACE:
                seen = where if where == "running" else "profile"
            table = takewhile(ALLOCATOR_TABLE.match, lines[at + 1 : at + 5])
            yield kind or seen, _numbers("\n".join([body, *table])), body.strip()[:MAX_CHARS]


def _numbers(message: str) -> dict[str, float | int]:
    numbers: dict[str, float | int] = {}
    for name, pattern in NUMBERS.items():
        if match := re.search(pattern, message):
            value, *unit = (group for group in match.groups() if group)
            number = float(value) if "." in value or unit else int(value)
            numbers[name] = number * IN_GIB[unit[0]] if unit else number
    return numbers


def explain(fault: MemoryFault, *, model: str, advice: str | None = None) -> str:
    """Explain the fault to the user in one line, at most 300 characters, ending in what to type.

    `advice`, such as "engine.max_num_seqs=64", replaces the step from NEXT_STEPS.
    """
    figures = _figures(fault) | {"model": model[-60:]}
    step = f"type {advice}" if advice else _first_known(NEXT_STEPS, fault.kind, figures)
    situation = _first_known(SITUATIONS, fault.kind, figures)
    text = PLACES[fault.kind].format_map(figures) + (f": {situation}" if situation else "")
    return f"{text[: MAX_CHARS - len(step) - 2]}; {step}"


def _first_known(rows: tuple[tuple[str, str], ...], kind: str, figures: dict[str, str]) -> str:
    for row, template in rows:
        if row in ("", kind) and all(name in figures for name in re.findall(r"{(\w+)}", template)):
            return template.format_map(figures)
    return ""


def _figures(fault: MemoryFault) -> dict[str, str]:
    """Return the figures for the templates: the numbers as shown, and values derived from them."""
    n = fault.numbers
    shown = {k: f"{v:,}" if isinstance(v, int) else f"{v:g}" for k, v in n.items()}
    shown |= {k.removesuffix("_gib"): _gib(v) for k, v in n.items() if k.endswith("_gib")}
    free, total, left = (n.get(f"{name}_gib", 0) for name in ("free", "total", "available"))
    share = math.floor(100 * free / total - 2 + 1e-9) / 100 if total else 0
    if share >= 0.05 and "utilization" in n:
        shown["share"] = f"{share:.2f}"
    if free > 0.2:
        shown["fitting_cache"] = f"{math.floor(9 * free) / 10:.1f}"
    if n.get("requests", 0) > 1:
        shown["fewer_requests"] = str(max(1, n["requests"] // 4))
    if "available_gib" in n:
        shown["left"] = f"{_gib(abs(left))} GiB are {'left' if left >= 0 else 'missing'}"
    fitting = n.get("estimated_max_model_len", 0)
    if not fitting and n.get("needed_gib"):  # a little below proportional: sizes are rounded
        fitting = 0.9 * n.get("max_model_len", 0) * left / n["needed_gib"]
    if fitting >= 16:
        shown["fitting_len"] = str(int(fitting) // 16 * 16)
    return shown


def _gib(size: float) -> str:
    return "less than 0.1" if 0 < size < 0.05 else f"{size:.1f}"

"""Explain why a model did not load: match the engine's messages to what to type.

Works on texts alone; must not know about the engine. The full traceback is always in the log.
"""

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rollout.engines.base import EnginePlan
from rollout.engines.memory_faults import explain, memory_fault
from rollout.errors import EngineError, RolloutError, UserError

# (pattern in the engine's message, our message; {0}, {1}... are the pattern's groups)
LOAD_FAULTS: tuple[tuple[str, str], ...] = (
    (
        r"trust_remote_code|execute the configuration file|contains custom code",
        "{model} contains its own Python code, which is not run by default; read that code, "
        "then type model.trust_remote_code=true",
    ),
    (
        r"Model architectures? (\[[^\]]*\]) are not supported",
        "{model} has the architecture {0}, which this vLLM does not support; use another model, "
        "or a newer vLLM",
    ),
    (
        r"model type [`'\"]?([\w.-]+)[`'\"]? but Transformers does not recognize",
        "{model} has the model type {0!r}, which the installed transformers does not support; use "
        "another model, or newer packages",
    ),
    (
        r"[Bb]float16 is only supported on GPUs with compute capability",
        "this GPU can't compute in bfloat16; type engine.dtype=float16",
    ),
    (
        r"dtype[^\n]*?(?:torch\.)?((?:b?float\d+)|\w+)[^\n]* not supported|Unknown dtype: '?(\w+)",
        "engine.dtype={dtype} does not work with {model} on this device; type engine.dtype=auto, "
        "bfloat16 or float32",
    ),
    (
        r"User-specified max_model_len \((\d+)\) is greater than the derived max_model_len "
        r"\([^\d\n]*(\d+)",
        "engine.max_model_len={0} is more than the model's context length; type "
        "engine.max_model_len={1} or leave it out",
    ),
    (
        r"max_num_batched_tokens \((\d+)\) is smaller than max_model_len \((\d+)\)",
        "engine.max_num_batched_tokens={0} is less than the context length of {1}; type "
        "engine.max_num_batched_tokens={1} or a smaller engine.max_model_len",
    ),
    (
        r"number of attention heads \((\d+)\) must be divisible by tensor parallel size \((\d+)\)",
        "{model} has {0} attention heads, not divisible by engine.tensor_parallel_size={1}; "
        "type another engine.tensor_parallel_size",
    ),
    (
        r"SafetensorError|safetensors_rust|[Ii]nvalid header|incomplete metadata|"
        r"PytorchStreamReader|UnpicklingError|invalid load key",
        "{model}: a weight file is damaged or cut short; download it again",
    ),
    (
        r"JSONDecodeError|Expecting (?:property name|value|',')",
        "{model}: a JSON file of the checkpoint is damaged: {message}",
    ),
    (
        r"[Cc]annot find (?:any )?(?:the )?model weights",
        "{model}: no weights found; point model.model_path at a complete checkpoint",
    ),
    (
        r"no module or parameter named|were not initialized from checkpoint|size mismatch|"
        r"size of tensor a|"
        r"shape mismatch|is not divisible|loaded_weight|KeyError",
        "{model}: the weights don't fit config.json (a checkpoint of another architecture, or a "
        "changed config)",
    ),
    (
        r"[Qq]uantization method|config file for \w+$",
        "{model}: vLLM can't use this quantization here: {message}",
    ),
    (r"[Tt]okenizer", "{model}: the tokenizer could not be loaded: {message}"),
)
LOG_TAIL_BYTES = 256 * 1024
ROOT_CAUSE = re.compile(r"\b([A-Za-z_][\w.]*(?:Error|Exception|NotFound)): (.+)")


def explain_load(
    error: BaseException, model: str, dtype: str, log_file: Path, start: int = 0
) -> RolloutError:
    """Return a one-line error for a failed load; a UserError if the user can fix it.

    `start` is the offset in the log where this engine's output begins. If memory ran out, the
    error's `fault` holds the details.
    """
    message, text = first_line(error), f"{type(error).__name__}: {error}"
    trace = "".join(traceback.format_exception(error))
    in_log = tail_of(log_file, start) if "root cause above" in text else ""  # the core is a child
    if fault := memory_fault(f"{in_log}\n{trace}"):
        explained = UserError(f"{explain(fault, model=model)} (traceback: {log_file})")
        if not isinstance(error, ImportError):  # a half-imported library can't be loaded again
            explained.fault = fault
        return explained
    causes = ROOT_CAUSE.findall(in_log)
    if causes := [f"{kind}: {line}" for kind, line in causes if "root cause above" not in line]:
        message, text = causes[0], "\n".join(causes)
    for pattern, advice in LOAD_FAULTS:
        if match := re.search(pattern, text):
            advice = advice.format(*match.groups(), model=model, dtype=dtype, message=message)
            return UserError(f"{advice} (traceback: {log_file})")
    return EngineError(f"{model} could not be loaded: {message} (traceback: {log_file})")


def tail_of(log_file: Path, start: int) -> str:
    """Return the last LOG_TAIL_BYTES of a log, at most from offset `start` on."""
    if not log_file.exists():
        return ""
    with log_file.open("rb") as log:
        log.seek(max(start, log_file.stat().st_size - LOG_TAIL_BYTES))
        return log.read().decode(errors="replace")


def cause_of_death(message: str, log_file: Path, start: int) -> str:
    """Return what killed an engine: `message`, or the cause in the log if it only points there.

    `start` is the offset in the log where this engine's output begins.
    """
    if ("root cause" not in message and "EngineCore" not in message) or not log_file.exists():
        return message
    causes = [f"{kind}: {text}" for kind, text in ROOT_CAUSE.findall(tail_of(log_file, start))]
    causes = [c for c in causes if "root cause" not in c and "EngineDeadError" not in c]
    return causes[-1][:500] if causes else f"its process ended; see {log_file}"


@contextmanager
def explained(plan: EnginePlan, log_start: int = 0) -> Iterator[None]:
    """Turn any exception of loading into a one-line error; log the traceback."""
    try:
        yield
    except RolloutError:
        raise
    except Exception as error:
        with plan.log_file.open("a") as log:
            log.write(traceback.format_exc())
        raise explain_load(
            error, plan.model_path, plan.engine.dtype, plan.log_file, log_start
        ) from error


def first_line(error: BaseException) -> str:
    """Return the most useful line of an error: pydantic puts a title before the reason."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    if "validation error" in lines[0] and len(lines) > 1:
        lines = [next((x for x in lines[1:] if "error, " in x.lower()), lines[-1])]
        lines[0] = lines[0].removeprefix("Value error, ").split(" [type=")[0]
    return lines[0][:500]

"""One message about memory, and the phrases that recur in several."""

from dataclasses import dataclass, field

SITE = "/usr/local/lib/python3.12/dist-packages"
ISSUES = "https://github.com/vllm-project/vllm/issues"
PULLS = "https://github.com/vllm-project/vllm/pull"
SOURCE = "vLLM 0.32 source: "
MEMORY_NOTES = (
    " See documentation for Memory Management "
    " (https://pytorch.org/docs/stable/notes/cuda.html#environment-variables)"
)
RESERVED = "If reserved but unallocated memory is large try setting "
AVOID = "=expandable_segments:True to avoid fragmentation. "
CUDA_TAIL = RESERVED + "PYTORCH_CUDA_ALLOC_CONF" + AVOID + MEMORY_NOTES  # torch 2.2 to 2.9
TAIL = RESERVED + "PYTORCH_ALLOC_CONF" + AVOID + MEMORY_NOTES  # since then


@dataclass(frozen=True)
class Message:
    text: str
    kind: str
    numbers: dict[str, float | int] = field(default_factory=dict)
    where: str = ""
    stage: str = "any"


def traceback(*frames: str) -> str:
    """Return the head of a traceback; a frame is "path:line:function"."""
    lines = ["Traceback (most recent call last):"]
    for frame in frames:
        path, line, function = frame.split(":")
        lines.append(f'  File "{SITE}/{path}", line {line}, in {function}')
    return "\n".join(lines) + "\n"


def logged(prefix: str, text: str) -> str:
    """Return the text as a core or a worker logs it, with a prefix on every line."""
    return "\n".join(f"{prefix} {line}" for line in text.splitlines())

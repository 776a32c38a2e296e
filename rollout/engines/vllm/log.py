"""What vLLM writes to its log: which phase of loading it is in, and what it complains about.

Works on single lines, also those of progress bars. Phrases of vLLM 0.24 to 0.33.
"""

import re

FIRST_PHASE = "importing vLLM"  # before it writes anything
# (pattern in a line, the phase that begins or goes on with it; {0}, {1} are the pattern's groups)
PHASES: tuple[tuple[str, str], ...] = (
    (
        r"[Ll]oading [\w ]*(?:shards|loader|Streamer): .*?\b(\d+)/(\d+) \[",
        "loading weights, {0} of {1}",
    ),
    (r"Starting to load model|Loading model from scratch", "loading weights"),
    (r"Loading drafter model", "loading the draft model's weights"),
    (r"Model loading took|Loading weights took", "profiling memory"),
    (r"Starting torch\.compile|Dynamo bytecode transform|for vLLM's torch\.compile", "compiling"),
    (r"Compiling a graph|Cache the graph of compile range", "compiling"),
    (r"torch\.compile (?:took|takes) |Initial profiling/warmup run took", "profiling memory"),
    (r"Profiling CUDA graph memory", "profiling memory of CUDA graphs"),
    (r"KV cache size: ([\d,]+) tokens", "warming up, KV cache for {0} tokens"),
    (r"Capturing [\w -]*CUDA graphs.*\b(\d+)/(\d+) \[", "capturing CUDA graphs, {0} of {1}"),
    (r"Capturing [\w -]*CUDA graphs|Capturing model for", "capturing CUDA graphs"),
    (r"Graph capturing finished|Warming up model", "warming up"),
    (r"init engine \(profile, create kv cache, warmup model\) took", "starting"),
)
_PHASES = [(re.compile(pattern), text) for pattern, text in PHASES]

# `LEVEL time [logger] message`, after the names of vLLM's processes.
COMPLAINT = re.compile(r"(?:\([^()]*\) )*(?:WARNING|ERROR|CRITICAL) [\d:,. -]+\[[^\]]*\] (.*)")
# (beginning of a message, why it is not shown)
IGNORED: tuple[tuple[str, str], ...] = (
    ("The global random seed is set", "every request has a seed of its own"),
    ("This model does not officially support disabling chunked prefill", "needed on CPUs"),
    ("Enforce eager set", "needed on CPUs; on GPUs it was typed"),
    ("Inductor compilation was disabled", "follows from enforce_eager"),
    ("Triton is not installed", "CPUs work without it"),
    ("Model Runner V2 requires Triton", "CPUs work without it"),
    ("Reset SSM cache type", "the CPU's only choice"),
    ("libtcmalloc is not found", "a hint on speed, at every load on a CPU"),
    ("Failed to create oneDNN linear", "about vLLM's own kernels, at every load on a CPU"),
    ("CPU backend doesn't allow to use `torch.set_num_threads`", "at every load on a CPU"),
    ("libiomp is not found", "a hint on speed, at every load on a CPU"),
    ("Passing raw prompts to InputProcessor is deprecated", "about how rollout calls vLLM"),
    ("Priority not set for op", "about vLLM's own kernels, at every load on a GPU"),
    ("Default vLLM sampling parameters have been overridden", "a run prints how it samples"),
)


def phase_of(line: str) -> str | None:
    """Return the phase of loading that a line of the log belongs to, None if it tells nothing."""
    for pattern, text in _PHASES:
        if match := pattern.search(line):
            return text.format(*match.groups())
    return None


def complaint_of(line: str) -> str | None:
    """Return the message of a warning or error, None for other lines and for those IGNORED."""
    found = COMPLAINT.match(line)
    if found is None or found[1].startswith(tuple(beginning for beginning, _ in IGNORED)):
        return None
    return found[1].strip() or None

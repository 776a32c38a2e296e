"""What a run's samples depend on, and settings as they may be written down: secrets starred."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from rollout.config import Settings, keys
from rollout.schema import WHAT, get

# Of engine.extra, what is known to leave the samples as they are.
HOW_EXTRAS = (
    "additional_config", "async_scheduling", "block_size", "compilation_config", "cpu_offload_gb",
    "cuda_graph_sizes", "cudagraph_capture_sizes", "data_parallel_size",
    "disable_custom_all_reduce", "distributed_executor_backend", "download_dir",
    "enable_chunked_prefill", "enable_expert_parallel", "hf_token", "kv_cache_memory_bytes",
    "long_prefill_token_threshold", "max_logprobs", "max_long_partial_prefills",
    "max_num_partial_prefills", "max_parallel_loading_workers", "num_gpu_blocks_override",
    "pipeline_parallel_size", "prefix_caching_hash_algo", "safetensors_load_strategy",
    "scheduling_policy", "stream_interval", "swap_space", "use_tqdm_on_load",
)  # fmt: skip


def fingerprint(settings: Settings) -> dict[str, Any]:
    """The WHAT settings, by dotted name, as plain values: a change of any changes the samples."""
    what = {name: get(settings, name) for name, key in keys().items() if key.kind == WHAT}
    found = {name: _plain(value, secret=_digest) for name, value in what.items()}
    extra = _plain(settings.engine.extra, secret=_digest)
    found |= {f"engine.extra.{name}": v for name, v in extra.items() if name not in HOW_EXTRAS}
    if settings.data.shuffle_seed is not None:  # another limit then picks other rows
        found["data.limit"] = settings.data.limit
    return found


def to_plain(settings: Any) -> Any:
    """The settings as nested plain values, fit for YAML or JSON."""
    if is_dataclass(settings):
        return {f.name: to_plain(getattr(settings, f.name)) for f in fields(settings)}
    return _plain(settings)


SECRET = re.compile(
    r"(^|[_-])(tokens?|secrets?|passw(or)?d|credentials?|authorization|(api[_-]?)?key)\d*$", re.I
)
# The same within text typed for a free-form setting.
SECRET_TEXT = re.compile(r"(token|secret|passw(or)?d|credential|authorization|api[_-]?key)", re.I)


def redacted(words: list[str]) -> list[str]:
    """Overrides as they may be written down: a value that may hold a secret is starred.

    Only free-form settings can hold one; `max_tokens` and its like are no secret.
    """
    bags = [name for name, key in keys().items() if key.is_bag]
    free = ("hydra.", *(f"{bag}." for bag in bags))
    parents = {bag.rpartition(".")[0] for bag in bags} | {*bags, "hydra.job"}
    found = []
    for word in words:
        key, equals, value = word.partition("=")
        name = key.lstrip("+")
        holds = (name.startswith(free) and SECRET.search(name.rsplit(".", 1)[-1])) or (
            (name.startswith(free) or name in parents)
            and (SECRET_TEXT.search(value) or SECRET_VALUE.search(value))
        )
        is_plain = re.fullmatch(r"[-+]?[0-9.]+|true|false|null", value, re.I)  # no secret
        found.append(f"{key}=***" if equals and holds and not is_plain else word)
    return found


# Tokens of Hugging Face, OpenAI, GitHub, Slack and AWS, by their form.
SECRET_VALUE = re.compile(r"(hf_|sk-|ghp_|gho_|github_pat_|xox[abp]-|AKIA)[A-Za-z0-9_-]{12,}")


def _plain(value: Any, secret: Callable[[str], str] = lambda value: "***") -> Any:
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, dict):  # a free bag: here a user may have put a token
        return {
            str(k): secret(str(v))
            if (SECRET.search(str(k)) and _holds_text(v))
            or (isinstance(v, str) and SECRET_VALUE.search(v))
            else _plain(v, secret)
            for k, v in value.items()
        }
    return [_plain(v, secret) for v in value] if isinstance(value, list | tuple) else value


def _digest(value: str) -> str:
    """Tells two secrets apart and neither."""
    return f"*** {hashlib.blake2b(value.encode(errors='replace'), digest_size=4).hexdigest()}"


def _holds_text(value: Any) -> bool:
    """Numbers are no secrets: min_tokens, skip_special_tokens."""
    if isinstance(value, dict):
        return any(map(_holds_text, value.values()))
    return any(map(_holds_text, value)) if isinstance(value, list) else isinstance(value, str)

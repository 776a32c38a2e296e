"""The settings a run's samples depend on, and settings fit for records: with secrets starred."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from rollout.config.schema import WHAT, get
from rollout.config.settings import Settings, keys
from rollout.errors.secret_texts import (
    STARS,
    TEXT_STARS,
    has_secret,
    is_secret_member,
    is_secret_name,
    secrets_in,
    without_secrets,
)

# Settings in engine.extra that do not change the samples.
HOW_EXTRAS = (
    "additional_config", "async_scheduling", "block_size", "compilation_config", "cpu_offload_gb",
    "cuda_graph_sizes", "cudagraph_capture_sizes", "data_parallel_size",
    "disable_custom_all_reduce", "distributed_executor_backend", "download_dir",
    "enable_chunked_prefill", "enable_expert_parallel", "hf_token", "kv_cache_memory_bytes",
    "long_prefill_token_threshold", "max_logprobs", "max_long_partial_prefills",
    "max_num_partial_prefills", "max_parallel_loading_workers", "num_gpu_blocks_override",
    "prefix_caching_hash_algo", "safetensors_load_strategy", "scheduling_policy",
    "stream_interval", "swap_space", "use_tqdm_on_load",
)  # fmt: skip


def fingerprint(settings: Settings) -> dict[str, Any]:
    """Return the WHAT settings by dotted name, as plain values: any change changes the samples."""
    what = [name for name, key in keys().items() if key.kind == WHAT]
    found = {
        name: _plain(get(settings, name), _digest, by_name=names_parameters(name)) for name in what
    }
    extra = _plain(settings.engine.extra, secret=_digest)
    found |= {f"engine.extra.{name}": v for name, v in extra.items() if name not in HOW_EXTRAS}
    if settings.data.shuffle_seed is not None:  # another limit then picks other rows
        found["data.limit"] = settings.data.limit
    return found


def to_plain(settings: Any) -> Any:
    """Return settings as nested plain values for YAML or JSON, with secrets starred."""
    if is_dataclass(settings):
        return {f.name: _plain_member(f.name, getattr(settings, f.name)) for f in fields(settings)}
    return _plain(settings)


def _plain_member(name: str, value: Any) -> Any:
    if is_dataclass(value):
        return to_plain(value)
    if isinstance(value, dict):  # a free-form setting, which may hold a token under any name
        return _plain(value, by_name=names_parameters(name))
    return _plain(value, secret=lambda _: TEXT_STARS)


def names_parameters(bag: str) -> bool:
    """Whether the keys of a free-form setting are names of parameters, which may mark a secret.

    Those of the others are names of columns, presets or a schema's properties.
    """
    others = ("structured_outputs", "logit_bias", "rename", "splits", "presets")
    return bag.rpartition(".")[2] not in others


def redacted(words: list[str]) -> list[str]:
    """Return overrides fit for records: a value that may hold a secret is starred.

    Names count only in free-form settings: a declared setting is not a secret by its name.
    """
    bags = [name for name, key in keys().items() if key.is_bag]
    parents = {bag.rpartition(".")[0] for bag in bags} | {*bags, "hydra.job"}
    found = []
    for word in words:
        key, equals, value = word.partition("=")
        name = key.lstrip("+~")
        if not equals:
            found.append(without_secrets(word))
            continue
        bag = next((b for b in (*bags, "hydra") if f"{name}.".startswith(f"{b}.")), None)
        is_named = bag is None or names_parameters(bag)
        inner = name.removeprefix(str(bag)).split(".")[1:] if bag and is_named else []
        is_number = re.fullmatch(r"[-+]?[0-9.]+|true|false|null|", value, re.I) is not None
        is_literal = (
            is_named and (bag or name in parents) and value.lstrip("('\"")[:1] in ("{", "[")
        )
        holds = (
            any(is_secret_name(part, holds_text=not is_number) for part in inner)
            and re.fullmatch(r"true|false|null|", value, re.I) is None
        )
        holds = holds or has_secret(value) or (is_literal and _holds_secret(value))
        found.append(f"{key}={STARS}" if holds else word)
    return found


def _holds_secret(literal: str) -> bool:
    """Whether a mapping or list has a secret; of one that can't be parsed, whether it may."""
    from rollout.config.overrides import parse

    parsed = parse(f"x={literal}")
    if parsed is None or parsed.is_sweep_override():
        names = re.findall(r"[\w.-]+(?=['\"]?\s*[:=])", literal)
        return any(map(is_secret_name, names))
    return any(secrets_in(parsed.value()))


def _plain(
    value: Any, secret: Callable[[str], str] = lambda value: STARS, by_name: bool = True
) -> Any:
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, dict):
        return {
            str(k): secret(str(v))
            if by_name and is_secret_member(value, k)
            else _plain(v, secret, by_name)
            for k, v in value.items()
        }
    if isinstance(value, list | tuple):
        places = {place[0] for place in secrets_in(value, by_name) if len(place) == 1}
        return [
            secret(str(v)) if i in places else _plain(v, secret, by_name)
            for i, v in enumerate(value)
        ]
    return secret(value) if isinstance(value, str) and has_secret(value) else value


def with_digests(found: dict[str, Any]) -> dict[str, Any]:
    """Return a fingerprint fit for records: secrets are replaced by digests, stars stay."""
    return _plain(found, secret=_digest, by_name=False)


def _digest(value: str) -> str:
    """Return stars and a short digest: it distinguishes two secrets without revealing them."""
    return f"{STARS} {hashlib.blake2b(value.encode(errors='replace'), digest_size=4).hexdigest()}"

"""Models on the Hugging Face hub: a hub id's snapshot directory in the hub's cache.

Owns: every conversation with the hub, and what its refusals mean.
Promises: config.json and generation_config.json are fetched, never weights; a hub that does not
answer is given up after about 6 s; a refusal is one line, which never holds the token.
Must not know: what a checkpoint directory must hold, or what reads it.
"""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from rollout.errors import UserError, did_you_mean

TOKENIZER_S = 20.0
_TOKENIZER_FILES = ["tokenizer*", "chat_template*", "special_tokens_map.json", "added_tokens.json"]
_WAY_OUT = "type model.model_path=/local/dir, or without network model=smollm2_135m"


def find_cached_snapshot(repo_id: str, revision: str | None) -> Path | None:
    """Find the directory, named by its commit, that the cache has for this model, whole or not.

    Asks nobody. Raises UserError for a text that cannot be a hub id.
    """
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        cached = try_to_load_from_cache(repo_id, "config.json", revision=revision)
    except HFValidationError:
        raise UserError(
            f"model.model_path={repo_id} is neither a directory nor a hub id, ORG/NAME"
        ) from None
    return Path(cached).parent if isinstance(cached, str) else None


def fetch_snapshot(repo_id: str, revision: str | None) -> Path:
    """Ask the hub for the model's shape; return the directory, named by its commit, that has it.

    Raises UserError, one line, where the hub cannot be reached or refuses.
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise UserError(
            f"cannot reach the hub: HF_HUB_OFFLINE is set, and {constants.HF_HUB_CACHE} does not "
            f"hold all of {repo_id}; unset it, or {_WAY_OUT}"
        )
    return _ask_hub(repo_id, revision).parent


def fetch_adapter(repo_id: str) -> Path:
    """Have a LoRA adapter whole in the hub's cache; return its directory. Raises UserError."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repo_id))
    except Exception as fault:
        raise UserError(f"model.lora_path={repo_id}: {_explain(fault, repo_id, None)}") from fault


def fetch_tokenizer(repo_id: str, revision: str | None) -> None:
    """Have the tokenizer's files in the hub's cache, where they can be had within some seconds.

    For counting tokens before the engine downloads the whole; what is missing then is its
    affair.
    """
    from huggingface_hub import constants, snapshot_download

    if constants.HF_HUB_OFFLINE:
        return
    thread = threading.Thread(
        target=lambda: _quietly(
            snapshot_download, repo_id, revision=revision, allow_patterns=_TOKENIZER_FILES
        ),
        daemon=True,
    )
    thread.start()
    thread.join(TOKENIZER_S)


def _quietly(fetch: Callable[..., Any], *arguments: Any, **options: Any) -> None:
    """Without bars, and without a word where it fails."""
    from huggingface_hub import utils

    were_off = utils.are_progress_bars_disabled()
    utils.disable_progress_bars()
    try:
        with suppress(Exception):
            fetch(*arguments, **options)
    finally:
        if not were_off:
            utils.enable_progress_bars()


def _ask_hub(repo_id: str, revision: str | None) -> Path:
    """Fetch config.json and generation_config.json into the hub's cache; return the first's path.

    In a thread with a deadline, since a DNS look-up that hangs obeys no HTTP timeout.
    """
    from huggingface_hub import utils

    timeout_s = float(os.environ.get("HF_HUB_ETAG_TIMEOUT") or 5)
    outcome: list[Path | Exception] = []

    def ask() -> None:
        try:
            outcome.append(_fetch_configs(repo_id, revision, timeout_s))
        except Exception as fault:  # explained in the caller's thread
            outcome.append(fault)

    bars_were_off = utils.are_progress_bars_disabled()
    utils.disable_progress_bars()
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout_s + 1)
    if not bars_were_off:
        utils.enable_progress_bars()
    answer = outcome[0] if outcome else TimeoutError(f"no answer in {timeout_s + 1:g} s")
    if isinstance(answer, Path):
        return answer
    raise UserError(_explain(answer, repo_id, revision))


def _fetch_configs(repo_id: str, revision: str | None, timeout_s: float) -> Path:
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError

    # Asked first, since a download falls back to a cached file where the hub cannot be reached.
    get_hf_file_metadata(hf_hub_url(repo_id, "config.json", revision=revision), timeout=timeout_s)
    config = Path(
        hf_hub_download(repo_id, "config.json", revision=revision, etag_timeout=timeout_s)
    )
    with suppress(EntryNotFoundError):
        hf_hub_download(
            repo_id,
            "generation_config.json",
            revision=config.parent.name,
            etag_timeout=timeout_s,
        )
    return config


def _explain(fault: Exception, repo_id: str, revision: str | None) -> str:
    """What the hub's answer means, in one line; never the request, which holds the token."""
    from huggingface_hub import constants, errors

    status = getattr(getattr(fault, "response", None), "status_code", None)
    page = f"https://huggingface.co/{repo_id}"
    if isinstance(fault, errors.RevisionNotFoundError):
        return f"{repo_id} has no revision {revision!r}; see the branches and tags at {page}"
    is_gated = isinstance(fault, errors.GatedRepoError)
    if isinstance(fault, errors.RepositoryNotFoundError) and not is_gated:
        folders = Path(constants.HF_HUB_CACHE).glob("models--*")
        known = [f.name.removeprefix("models--").replace("--", "/") for f in folders]
        return (
            f"{repo_id} is neither a directory nor a model on the hub; check the spelling, or if "
            f"it is private type: hf auth login.{did_you_mean(repo_id, known)}"
        )
    if is_gated or status in (401, 403):
        return (
            f"{repo_id} is gated or private; accept its licence at {page} and type: hf auth login"
        )
    if isinstance(fault, errors.EntryNotFoundError) and status == 404:
        return (
            f"{repo_id} has no config.json, so it is not a transformers checkpoint (only GGUF "
            "files, or a LoRA adapter?); give the model it was made from"
        )
    endpoint = constants.ENDPOINT.rsplit("@")[-1]
    why = f"status {status}" if status else str(fault).split("\n")[0] or type(fault).__name__
    return (
        f"cannot reach the hub ({endpoint}: {why}), and there is no directory {repo_id} either; "
        f"{_WAY_OUT}"
    )

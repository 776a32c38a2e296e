"""Models on the Hugging Face hub: find and fetch a hub id's snapshot in the hub's cache.

Owns all requests to the hub, and the meaning of its errors.
Guarantees: config.json and generation_config.json are fetched, never weights; a hub that does not
respond is given up after about 6 s; an error is one line, which never contains the token.
Must not know what a checkpoint directory must contain, or who reads it.
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
_OFFLINE = "type model.model_path=/local/dir, or without network model=smollm2_135m"


def find_cached_snapshot(repo_id: str, revision: str | None) -> Path | None:
    """Return the model's cached directory, complete or not, which is named after its commit.

    Sends no request. Raises UserError for a text that can't be a hub id.
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
    """Fetch the model's configuration; return its cached directory, named after its commit.

    Raises UserError, one line, if the hub can't be reached or refuses.
    """
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise UserError(
            f"can't reach the hub: HF_HUB_OFFLINE is set, and {constants.HF_HUB_CACHE} does not "
            f"hold all of {repo_id}; unset it, or {_OFFLINE}"
        )
    timeout_s = float(os.environ.get("HF_HUB_ETAG_TIMEOUT") or 5)
    found = _call_within(timeout_s + 1, _fetch_config, repo_id, revision, timeout_s)
    if isinstance(found, Exception):
        raise UserError(_explain(found, repo_id, revision))
    return found.parent


def fetch_adapter(repo_id: str) -> Path:
    """Fetch a LoRA adapter into the hub's cache; return its directory. Raises UserError."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repo_id))
    except Exception as error:
        raise UserError(f"model.lora_path={repo_id}: {_explain(error, repo_id, None)}") from error


def fetch_tokenizer(repo_id: str, revision: str | None) -> None:
    """Fetch the tokenizer's files into the hub's cache, if that takes less than TOKENIZER_S.

    Used to count tokens before the engine downloads the model. Errors are ignored: the engine
    reports them later.
    """
    from huggingface_hub import constants, snapshot_download

    if not constants.HF_HUB_OFFLINE:
        patterns = {"revision": revision, "allow_patterns": _TOKENIZER_FILES}
        _call_within(TOKENIZER_S, snapshot_download, repo_id, **patterns)


def _call_within(seconds: float, fetch: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Call `fetch` without progress bars; return its result, or its exception.

    Runs in a thread, since a hanging DNS look-up ignores HTTP timeouts.
    """
    from huggingface_hub import utils

    outcome: list[Any] = []

    def call() -> None:
        bars_were_off = utils.are_progress_bars_disabled()
        utils.disable_progress_bars()
        try:
            outcome.append(fetch(*args, **options))
        except Exception as error:  # handled by the caller
            outcome.append(error)
        finally:
            if not bars_were_off:
                utils.enable_progress_bars()

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(seconds)
    return outcome[0] if outcome else TimeoutError(f"no answer in {seconds:g} s")


def _fetch_config(repo_id: str, revision: str | None, timeout_s: float) -> Path:
    """Fetch config.json (its path is returned) and generation_config.json into the cache."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError

    # First, since a download falls back to a cached file if the hub can't be reached.
    get_hf_file_metadata(hf_hub_url(repo_id, "config.json", revision=revision), timeout=timeout_s)
    config = Path(
        hf_hub_download(repo_id, "config.json", revision=revision, etag_timeout=timeout_s)
    )
    with suppress(EntryNotFoundError):
        hf_hub_download(
            repo_id, "generation_config.json", revision=config.parent.name, etag_timeout=timeout_s
        )
    return config


def _explain(error: Exception, repo_id: str, revision: str | None) -> str:
    """Explain the hub's response in one line; never show the request, which holds the token."""
    from huggingface_hub import constants, errors

    status = getattr(getattr(error, "response", None), "status_code", None)
    page = f"https://huggingface.co/{repo_id}"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{repo_id} has no revision {revision!r}; see the branches and tags at {page}"
    is_gated = isinstance(error, errors.GatedRepoError)
    if isinstance(error, errors.RepositoryNotFoundError) and not is_gated:
        folders = Path(constants.HF_HUB_CACHE).glob("models--*")
        known = [f.name.removeprefix("models--").replace("--", "/") for f in folders]
        return (
            f"{repo_id} is neither a directory nor a model on the hub; check the spelling, or if "
            f"it is private type: hf auth login.{did_you_mean(repo_id, known)}"
        )
    if is_gated or status in (401, 403):
        return (
            f"{repo_id} is gated or private; accept its license at {page} and type: hf auth login"
        )
    if isinstance(error, errors.EntryNotFoundError) and status == 404:
        return (
            f"{repo_id} has no config.json, so it is not a transformers checkpoint (only GGUF "
            "files, or a LoRA adapter?); type the model it was made from"
        )
    endpoint = constants.ENDPOINT.rsplit("@")[-1]
    why = f"status {status}" if status else str(error).split("\n")[0] or type(error).__name__
    return (
        f"can't reach the hub ({endpoint}: {why}), and there is no directory {repo_id} either; "
        f"{_OFFLINE}"
    )

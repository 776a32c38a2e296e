"""The model to plan for: its shape, files and tokenizer, and what the data need of it.

Needs no weights and, for a shipped preset, no network. Must not know about engines or runs.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rollout.config.presets import preset_content
from rollout.config.settings import Settings
from rollout.errors import UserError
from rollout.inputs.embedded import is_unpacked
from rollout.inputs.hub import fetch_tokenizer, find_cached_snapshot
from rollout.inputs.models import ResolvedModel, resolve_model
from rollout.inputs.prompts import Prompts
from rollout.plan.memory.fit import ModelSize, Needs, model_size
from rollout.plan.prompts.lengths import Lengths, read_lengths
from rollout.plan.prompts.tokenizer import PromptTokenizer, open_tokenizer
from rollout.plan.prompts.tokenizer_files import NoTokenizer

EMBEDDED = "embedded:"
ASSUMED_RESPONSE = 2048  # tokens, if neither max_tokens nor the context is known
ASSUMED_PROMPT = 512  # tokens


@dataclass(frozen=True, slots=True)
class PlannedModel:
    """A model to plan for."""

    size: ModelSize
    source: str  # where its shape was read, as printed
    generation_config: dict[str, Any]
    directory: Path | None  # of its tokenizer, if on this machine


def find_model(settings: Settings, config_dir: Path | None = None) -> PlannedModel:
    """Find the model in its directory, the hub's cache, the preset or the hub, in that order.

    Raises UserError if none of them states its shape.
    """
    model = settings.model
    name = str(model.model_path)
    shape = preset_shape(settings, config_dir)
    overrides = settings.engine.extra.get("hf_overrides")
    is_here = Path(name).expanduser().exists()
    if name.startswith(EMBEDDED):
        is_here = is_unpacked(name.removeprefix(EMBEDDED))
    elif not is_here and name.count("/") == 1 and not name.startswith((".", "~", "/")):
        is_here = find_cached_snapshot(name, model.revision) is not None
    if shape and not is_here:
        is_own = any(key.startswith("model.shape") for key in settings.given)
        source = "model.shape" if is_own else "the preset's figures"
        return PlannedModel(model_size(name, shape, None, overrides), source, {}, None)
    resolved = resolve_model(model, lambda line: None, needs_weights=False, needs_tokenizer=False)
    return planned_model(resolved, name, overrides)


def planned_model(resolved: ResolvedModel, name: str, overrides: Any = None) -> PlannedModel:
    """Return a resolved model to plan for. Raises UserError as `model_size` does."""
    directory = Path(resolved.path)
    if resolved.source == "hub":
        directory = find_cached_snapshot(resolved.path, resolved.revision)
    if not resolved.config:
        raise UserError(
            f"{resolved.path} has params.json instead of config.json, which the planner can't read"
        )
    source = {"hub": "config.json from the hub"}.get(resolved.source, "config.json")
    size = model_size(name, resolved.config, directory, overrides)
    return PlannedModel(size, source, resolved.generation_config, directory)


def preset_shape(settings: Settings, config_dir: Path | None = None) -> dict[str, Any]:
    """Return the shape in model.shape; empty if the preset's shape is another model's."""
    preset = str(settings.presets.get("model", "custom"))
    own_path = preset_content("model", preset, config_dir).get("model_path")
    is_typed = any(key.split(".")[:2] == ["model", "shape"] for key in settings.given)
    return settings.model.shape if is_typed or own_path == settings.model.model_path else {}


def tokenizer_of(
    directory: Path | None, settings: Settings, resolved: ResolvedModel | None = None
) -> PromptTokenizer:
    """Open the model's tokenizer. Raises NoTokenizer with the reason why it can't be used."""
    if settings.engine.extra.get("tokenizer"):
        raise NoTokenizer("engine.extra.tokenizer names another tokenizer")
    if resolved is not None and resolved.source == "hub":
        fetch_tokenizer(resolved.path, resolved.revision)
    if directory is None:
        raise NoTokenizer(
            f"its tokenizer is not on this machine; type hf download {settings.model.model_path} "
            "--include 'token*' 'chat_template*' config.json"
        )
    return open_tokenizer(directory, settings.model)


def lengths_of(prompts: Prompts, tokenizer: PromptTokenizer, context: int) -> Lengths:
    """Return the prompts' lengths; the count of rows without room for a response is exact."""
    return read_lengths(prompts, tokenizer, context - 1)


def needs_of(lengths: Lengths | None, max_tokens: int | None, context: int = 0) -> Needs:
    """Return the longest and the typical sequence that the engine must hold, in tokens.

    A typical running sample has generated half of its response. Rows without room for a response
    in `context` are refused, so they don't count. Uncounted prompts are assumed to have
    ASSUMED_PROMPT tokens. Without `max_tokens`, responses may fill the context.
    """
    max_tokens = max_tokens or context or ASSUMED_RESPONSE
    if lengths is None or not lengths.num_counted:
        longest = ASSUMED_PROMPT + max_tokens
        return Needs(longest, ASSUMED_PROMPT + max_tokens // 2, is_estimate=True)
    asked = [n for n in (*lengths.sample, *lengths.long_rows) if n < context]
    counted = [n for n in lengths.sample if n < context]
    longest = max(asked, default=0)
    if lengths.longest_bound < context:
        longest = lengths.longest_bound
    elif not lengths.num_longer_than(context - 1).is_exact:
        longest = context
    mean = sum(counted) / len(counted) if counted else ASSUMED_PROMPT
    return Needs(
        longest=min(longest + max_tokens, context),
        typical=min(int(mean + max_tokens / 2), context),
    )

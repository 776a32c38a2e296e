"""scorer=reasoning_gym: each task's own verifier, a score from 0 to 1.

The entry (question, answer, metadata) names its task in metadata.source_dataset. Scored is what
stands in the last <answer> tags, or all of it where there are none.
"""

import json
from functools import cache
from typing import Any

from rollout.errors import UserError
from rollout.scoring.scorers import Mark, Response, Scorer, Unscorable
from rollout.scoring.settings import Postprocess

TUPLES = ("arc_agi", "rearc")  # whose verifiers compare tuples, which JSON has not


def columns(settings: Postprocess) -> dict[str, str]:
    """The entry's column."""
    return {"reasoning_gym.entry_key": settings.reasoning_gym.entry_key}


def load(settings: Postprocess) -> Scorer:
    """Raises UserError where reasoning-gym can't be imported."""
    try:
        import reasoning_gym
        from reasoning_gym.utils import extract_answer
    except ImportError as error:
        raise UserError(
            f"scorer=reasoning_gym can't import it: {error}; type pip install and the missing name"
        ) from error
    key = settings.reasoning_gym.entry_key

    @cache
    def verifier(task: str) -> Any:
        return reasoning_gym.get_score_answer_fn(task)

    def score(response: Response, row: dict[str, Any]) -> Mark:
        text = response.text
        entry = entry_of(row[key], key)
        answer = extract_answer(text)
        answer = text.strip() if answer is None else answer
        verify = verifier(entry["metadata"]["source_dataset"])
        return Mark(float(verify(answer=answer, entry=entry)), answer)

    return score


def entry_of(value: Any, key: str) -> dict[str, Any]:
    """The entry as a dict. Raises Unscorable where it is none, or names no task."""
    try:
        entry = json.loads(value) if isinstance(value, str) else value
    except ValueError as error:
        raise Unscorable(f"{key} is no JSON: {error}") from error
    metadata = entry.get("metadata") if isinstance(entry, dict) else None
    if not isinstance(metadata, dict) or "source_dataset" not in metadata:
        raise Unscorable(f"{key} has no metadata.source_dataset that names its task")
    return _with_tuples(entry) if metadata["source_dataset"] in TUPLES else entry


def _with_tuples(value: Any) -> Any:
    """The value with tuples for its lists, as it was before it was JSON."""
    if isinstance(value, dict):
        return {name: _with_tuples(member) for name, member in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value

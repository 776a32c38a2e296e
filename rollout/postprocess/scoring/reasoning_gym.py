"""scorer=reasoning_gym: the score of each task's own verifier, from 0 to 1.

The entry (question, answer, metadata) names its task in metadata.source_dataset. The text in the
last <answer> tags is scored, or the whole response if there are none.
"""

from functools import cache
from typing import Any

from rollout.config.sections.postprocess import Postprocess
from rollout.errors import UserError
from rollout.postprocess.scoring.scorers import (
    Mark,
    Response,
    Scorer,
    Unscorable,
    as_text,
    no_answer,
)
from rollout.rows.gym_entry import entry_of, imports_quietly


def columns(settings: Postprocess) -> dict[str, str]:
    """Return the column with the entries."""
    return {"reasoning_gym.entry_key": settings.reasoning_gym.entry_key}


def load(settings: Postprocess) -> Scorer:
    """Return the scorer. Raises UserError if reasoning-gym can't be imported."""
    try:
        with imports_quietly():
            import reasoning_gym
            from reasoning_gym.utils import extract_answer
    except ImportError as error:
        raise UserError(
            f"scorer=reasoning_gym can't be imported: {error}; pip install the missing package"
        ) from error
    key = settings.reasoning_gym.entry_key

    @cache
    def verifier(task: str) -> Any:
        try:
            return reasoning_gym.get_score_answer_fn(task)
        except Exception as error:  # which errors it raises depends on its version
            raise Unscorable(f"reasoning-gym has no task {task!r} ({error})") from error

    def score(response: Response, row: dict[str, Any]) -> Mark:
        try:
            entry = entry_of(row[key], key)
        except ValueError as error:
            raise Unscorable(str(error)) from error
        gold = entry.get("answer")
        compared = None if gold is None else as_text(gold)
        verify = verifier(entry["metadata"]["source_dataset"])
        tagged = extract_answer(response.text)
        answer = (response.text if tagged is None else tagged).strip()
        if not answer or (tagged is None and response.is_cut):
            return no_answer(compared)
        return Mark(float(verify(answer=answer, entry=entry)), answer, None, compared)

    return score

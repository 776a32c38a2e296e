"""Selection: which rows and responses are exported, and how many each rule dropped.

Owns the rules and their fixed order; the first rule that drops something counts it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rollout.config.sections.export import Export, Select

STOP, RIGHT = "stop", "right"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One sample of a row, with the values that the rules read."""

    index: int
    text: str | None
    score: float | None
    finish_reason: str | None = None
    num_tokens: int | None = None
    verdict: str | None = None  # None: the score decides whether it passes

    def passes(self, threshold: float) -> bool:
        """Return whether it was judged right."""
        return self.score >= threshold if self.verdict is None else self.verdict == RIGHT


def keeps_row(select: Select, pass_rate: float | None, dropped: Counter[str]) -> bool:
    """Return whether a row's pass rate is within the bounds, both inclusive."""
    low, high = select.min_pass_rate, select.max_pass_rate
    if low is None and high is None:
        return True
    if pass_rate is None:
        dropped["rows without a pass rate"] += 1
    elif low is not None and pass_rate < low:
        dropped[f"rows below select.min_pass_rate={low:g}"] += 1
    elif high is not None and pass_rate > high:
        dropped[f"rows above select.max_pass_rate={high:g}"] += 1
    else:
        return True
    return False


def fitting_responses(
    select: Select, candidates: Sequence[Candidate], dropped: Counter[str]
) -> list[Candidate]:
    """Return the responses that have a text and a score and pass the rules of `select`."""
    seen: set[str] = set()
    kept = []
    for candidate in candidates:
        rule = _rule(select, candidate, seen)
        if rule:
            dropped[f"responses {rule}"] += 1
        else:
            seen.add(candidate.text)
            kept.append(candidate)
    return kept


def _rule(select: Select, candidate: Candidate, seen: set[str]) -> str | None:
    """Return the rule that drops a response, or None."""
    if candidate.text is None:
        return "that are null"
    if candidate.score is None:
        return "without a score"
    if select.finished and candidate.finish_reason not in (None, STOP):
        return "not finished (select.finished)"
    for unit, size in (("chars", len(candidate.text)), ("tokens", candidate.num_tokens)):
        low, high = getattr(select, f"min_{unit}"), getattr(select, f"max_{unit}")
        if size is None:
            continue
        if low is not None and size < low:
            return f"below select.min_{unit}={low}"
        if high is not None and size > high:
            return f"above select.max_{unit}={high}"
    if select.dedupe and candidate.text in seen:
        return "that repeat another (select.dedupe)"
    return None


def best_responses(
    select: Select, kept: Sequence[Candidate], threshold: float, dropped: Counter[str]
) -> list[Candidate]:
    """Return the responses to train on, best score first, ties in the order drawn."""
    passed = [c for c in kept if not select.passed or c.passes(threshold)]
    dropped["responses that do not pass (select.passed)"] += len(kept) - len(passed)
    best = sorted(passed, key=lambda c: -c.score)[: select.max_per_prompt]
    dropped["responses over select.max_per_prompt"] += len(passed) - len(best)
    return best


def preference_pairs(
    select: Select,
    export: Export,
    kept: Sequence[Candidate],
    threshold: float,
    dropped: Counter[str],
) -> list[tuple[Candidate, Candidate]]:
    """Pair best with worst, second best with second worst, ... while the scores differ enough."""
    ranked = sorted(kept, key=lambda c: -c.score)
    pairs = []
    for best, worst in zip(ranked, reversed(ranked), strict=True):
        margin = best.score - worst.score
        if len(pairs) == export.max_pairs or margin <= 0 or margin < export.min_margin:
            break
        if select.passed and not best.passes(threshold):
            break
        pairs.append((best, worst))
    if not pairs:
        dropped["rows without a preference pair"] += 1
    return pairs

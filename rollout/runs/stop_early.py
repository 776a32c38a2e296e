"""Stop a run early: check the signs of a bad run against their limits in `stop_if`."""

from rollout.config.sections.sampling import Sampling
from rollout.config.sections.stop_if import StopIf
from rollout.rows.signs import SIGNS, Signs

SEEN = {
    "truncated": "were cut off at max_tokens={max_tokens}",
    "empty": "are empty",
    "unclosed": "started to reason and did not finish within max_tokens={max_tokens}",
    "repetitive": "end by repeating one phrase",
    "duplicate": "equal an earlier sample of their prompt",
    "failed": "failed",
}
LONGER = "raise sampling.max_tokens (continue_truncated=true continues what was cut off)"
FIXES = {
    "truncated": LONGER,
    "empty": "look at the chat template, sampling.stop and sampling.min_tokens",
    "unclosed": LONGER,
    "repetitive": "raise sampling.temperature or sampling.repetition_penalty in a new run_dir=",
    "duplicate": "raise sampling.temperature, or widen top_p and top_k, in a new run_dir=",
    "failed": "fix what the error reports",
}


def reason_to_stop(
    signs: Signs, stop_if: StopIf, sampling: Sampling, error: str | None = None
) -> str | None:
    """Return a message about the first sign above its limit, with a fix; None if there is none.

    `error` is an example of why rows failed.
    """
    for sign in SIGNS:
        limit = getattr(stop_if, f"{sign}_fraction")
        if limit is None or signs.share(sign) <= limit:
            continue
        whole, what = (
            (signs.num_rows, "rows") if sign == "failed" else (signs.num_samples, "samples")
        )
        seen = SEEN[sign].format(max_tokens=sampling.max_tokens)
        seen += f" (such as: {error})" if sign == "failed" and error else ""
        return (
            f"{getattr(signs, f'num_{sign}'):,} of {whole:,} {what} ({signs.share(sign):.0%}) "
            f"{seen}, above stop_if.{sign}_fraction={limit:g}; {FIXES[sign]}, or type "
            f"stop_if.{sign}_fraction=null to continue anyway"
        )
    return None

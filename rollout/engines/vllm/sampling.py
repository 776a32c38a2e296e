"""Translate sampling settings to vLLM's SamplingParams, and let vLLM check them."""

import difflib
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from rollout.config.sections.sampling import Sampling
from rollout.engines.base import EnginePlan
from rollout.engines.vllm.arguments import set_environment
from rollout.engines.vllm.faults import explained, first_line
from rollout.errors import UserError
from rollout.rows.prompt import is_greedy

# SamplingParams that a row can't set: they belong to the run, or to the engine.
NOT_PER_ROW = (
    "n", "seed", "output_kind", "logprobs", "prompt_logprobs", "detokenize", "skip_clone",
)  # fmt: skip
SAMPLING_KEYS = ("temperature", "top_p", "top_k", "repetition_penalty")


def checked(kind: Callable[..., Any], section: str, arguments: dict[str, Any]) -> Any:
    """Build vLLM's own object. Raises UserError for an argument that vLLM does not accept."""
    known = parameters_of(kind)
    for name in arguments:
        if name not in known:
            raise UserError(f"{section}: vLLM's {kind.__name__} has no {name!r}{hint(name, known)}")
    try:
        return kind(**arguments)
    except refusals() as error:
        raise UserError(f"vLLM refuses the {section} settings: {first_line(error)}") from error


def hint(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def with_constraint(params: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters with `structured_outputs` as vLLM's own object."""
    from vllm.sampling_params import StructuredOutputsParams

    constraint = params.get("structured_outputs")
    if not isinstance(constraint, dict):
        return params
    made = checked(StructuredOutputsParams, "sampling.structured_outputs", constraint)
    return params | {"structured_outputs": made}


def typed_sampling(sampling: Sampling, wants_logprobs: bool) -> dict[str, Any]:
    """Return SamplingParams' arguments as the user set them."""
    n = 1 if is_greedy(sampling.temperature) else sampling.n_samples
    params = {"n": n, "max_tokens": sampling.token_limit} | sampling.params
    if wants_logprobs:
        params.setdefault("logprobs", 0)
    return params


def check_sampling(plan: EnginePlan, sampling: Sampling) -> None:
    """Check as much as is possible before a model is loaded. Raises UserError."""
    set_environment(plan)
    with explained(plan):
        from vllm import SamplingParams

        typed = typed_sampling(sampling, wants_logprobs=False)
        checked(SamplingParams, "sampling", with_constraint(typed))


def parameters_of(kind: Any) -> list[str]:
    import inspect

    try:
        return [f.name for f in fields(kind)]
    except TypeError:
        return list(inspect.signature(kind).parameters)


def refusals() -> tuple[type[Exception], ...]:
    """Return the exceptions vLLM raises for a bad setting or prompt; the engine stays alive."""
    from vllm import exceptions

    own = getattr(exceptions, "VLLMClientError", None) or exceptions.VLLMValidationError
    return (ValueError, TypeError, own)

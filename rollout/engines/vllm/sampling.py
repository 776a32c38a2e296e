"""Sampling settings as vLLM's SamplingParams, checked by vLLM's own words."""

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

# Of SamplingParams, what is the whole run's, or ours.
NOT_A_ROWS = ("n", "seed", "output_kind", "logprobs", "prompt_logprobs", "detokenize", "skip_clone")
SAMPLING_KEYS = ("temperature", "top_p", "top_k", "repetition_penalty")


def checked(kind: Callable[..., Any], section: str, arguments: dict[str, Any]) -> Any:
    """Build vLLM's own object; an argument it does not know or like is the user's to mend."""
    known = parameters_of(kind)
    for name in arguments:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise UserError(f"{section}: vLLM's {kind.__name__} has no {name!r}{hint}")
    try:
        return kind(**arguments)
    except refusals() as error:
        raise UserError(f"vLLM refuses the {section} settings: {first_line(error)}") from error


def as_vllm_wants(params: dict[str, Any]) -> dict[str, Any]:
    """Plain values made vLLM's own objects where it takes nothing else."""
    from vllm.sampling_params import StructuredOutputsParams

    constraint = params.get("structured_outputs")
    if not isinstance(constraint, dict):
        return params
    made = checked(StructuredOutputsParams, "sampling.structured_outputs", constraint)
    return params | {"structured_outputs": made}


def typed_sampling(sampling: Sampling, wants_logprobs: bool) -> dict[str, Any]:
    """SamplingParams' arguments as the user set them."""
    n = 1 if is_greedy(sampling.temperature) else sampling.n_samples
    params = {"n": n, "max_tokens": sampling.token_limit} | sampling.params
    if wants_logprobs:
        params.setdefault("logprobs", 0)
    return params


def check_sampling(plan: EnginePlan, sampling: Sampling) -> None:
    """Refuse what can be refused before a model is loaded. Raises UserError."""
    set_environment(plan)
    with explained(plan):
        from vllm import SamplingParams

        typed = typed_sampling(sampling, wants_logprobs=False)
        checked(SamplingParams, "sampling", as_vllm_wants(typed))


def parameters_of(kind: Any) -> list[str]:
    import inspect

    try:
        return [f.name for f in fields(kind)]
    except TypeError:
        return list(inspect.signature(kind).parameters)


def refusals() -> tuple[type[Exception], ...]:
    """What vLLM raises when it will not take a setting or a prompt; the engine lives on."""
    from vllm import exceptions

    own = getattr(exceptions, "VLLMClientError", None) or exceptions.VLLMValidationError
    return (ValueError, TypeError, own)

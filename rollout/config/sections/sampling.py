"""`sampling.`: how each response is drawn."""

import typing
from dataclasses import dataclass, fields
from typing import Any

from rollout.config.schema import MAX_INT, WHAT, setting

UNSET_PARAM = ("skip_special_tokens", True)  # vLLM's only default that is true


@dataclass(kw_only=True, slots=True)
class Sampling:
    """How each response is drawn; null takes the model's generation_config value."""

    kind: typing.ClassVar[str] = WHAT
    n_samples: int = setting(8, "responses per prompt", minimum=1, maximum=16384)
    max_tokens: int | str = setting(
        2048, "maximum tokens per response; auto: as many as the context allows", minimum=1
    )
    temperature: float | None = setting(1.0, "0 is greedy", minimum=0)
    top_p: float | None = setting(0.95, "nucleus mass to keep", above=0, maximum=1)
    top_k: int | None = setting(-1, "most likely tokens to keep; -1 or 0 keeps all", minimum=-1)
    repetition_penalty: float | None = setting(1.0, "above 1 discourages repetition", above=0)
    seed: int | None = setting(
        42, "makes every sample repeatable; null draws fresh ones", minimum=0, maximum=MAX_INT
    )
    min_p: float | None = setting(
        None, "minimum probability to keep, relative to the likeliest token's", minimum=0, maximum=1
    )
    presence_penalty: float | None = setting(
        None, "above 0 discourages tokens that occurred already", minimum=-2, maximum=2
    )
    frequency_penalty: float | None = setting(
        None, "above 0 discourages tokens, the more often they occurred", minimum=-2, maximum=2
    )
    min_tokens: int | None = setting(None, "minimum tokens before a response may end", minimum=0)
    stop: list[str] = setting([], "texts that end a response; left out of it")
    stop_token_ids: list[int] = setting([], "token ids that end a response")
    include_stop_str_in_output: bool = setting(False, "keep the stop text in the response")
    ignore_eos: bool = setting(False, "continue past the end-of-text token, up to max_tokens")
    bad_words: list[str] = setting([], "words never to sample")
    allowed_token_ids: list[int] = setting([], "sample only these token ids")
    logit_bias: dict[int, float] = setting({}, "token id: number added to its logit, -100 to 100")
    structured_outputs: dict[str, Any] = setting(
        {}, "constrain responses: json (schema or file), regex, choice, grammar or json_object"
    )
    thinking_token_budget: int | None = setting(
        None, "maximum reasoning tokens; needs a reasoning parser in vLLM", minimum=0
    )
    skip_special_tokens: bool = setting(True, "leave special tokens out of the text")
    extra: dict[str, Any] = setting({}, "further vLLM SamplingParams, verbatim")

    @property
    def token_limit(self) -> int | None:
        """The maximum tokens per response; None: as many as the context allows."""
        return None if isinstance(self.max_tokens, str) else self.max_tokens

    @property
    def params(self) -> dict[str, Any]:
        """The vLLM SamplingParams that are set, under vLLM's names.

        Left out are n, max_tokens and seed, and values that mean vLLM's default (empty, null).
        """
        own = ("n_samples", "max_tokens", "seed", "extra")
        found = {}
        for f in fields(self):
            value = getattr(self, f.name)
            is_unset = value is None or value == [] or value == {} or value is False
            if f.name not in own and not is_unset and (f.name, value) != UNSET_PARAM:
                found[f.name] = value
        return found | self.extra

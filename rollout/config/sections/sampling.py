"""`sampling.`: how each response is drawn."""

import typing
from dataclasses import dataclass, fields
from typing import Any

from rollout.config.schema import MAX_INT, WHAT, setting

UNSET_PARAM = ("skip_special_tokens", True)  # the one default of vLLM that is true


@dataclass(kw_only=True, slots=True)
class Sampling:
    """How each response is drawn; null takes the model's generation_config value."""

    kind: typing.ClassVar[str] = WHAT
    n_samples: int = setting(8, "responses for every prompt", minimum=1, maximum=16384)
    max_tokens: int | str = setting(
        2048, "longest response, in tokens; auto: as long as the context allows", minimum=1
    )
    temperature: float | None = setting(1.0, "0 is greedy", minimum=0)
    top_p: float | None = setting(0.95, "nucleus mass kept", above=0, maximum=1)
    top_k: int | None = setting(-1, "most likely tokens kept; -1 or 0 keeps all", minimum=-1)
    repetition_penalty: float | None = setting(1.0, "above 1 discourages repetition", above=0)
    seed: int | None = setting(
        42, "makes every sample repeatable; null draws fresh ones", minimum=0, maximum=MAX_INT
    )
    min_p: float | None = setting(
        None, "least probability kept, as a share of the likeliest token's", minimum=0, maximum=1
    )
    presence_penalty: float | None = setting(
        None, "above 0 discourages tokens that are there already", minimum=-2, maximum=2
    )
    frequency_penalty: float | None = setting(
        None, "the same, the more often they are there", minimum=-2, maximum=2
    )
    min_tokens: int | None = setting(None, "no end of the text before so many tokens", minimum=0)
    stop: list[str] = setting([], "texts that end a response; they are left out of it")
    stop_token_ids: list[int] = setting([], "token ids that end a response")
    include_stop_str_in_output: bool = setting(False, "keep the stop text in the response")
    ignore_eos: bool = setting(False, "go on past the end-of-text token, up to max_tokens")
    bad_words: list[str] = setting([], "words never sampled")
    allowed_token_ids: list[int] = setting([], "only these token ids are sampled")
    logit_bias: dict[int, float] = setting({}, "token id: number added to its logit, -100 to 100")
    structured_outputs: dict[str, Any] = setting(
        {}, "json (a schema or its file), regex, choice, grammar or json_object: responses fit it"
    )
    thinking_token_budget: int | None = setting(
        None, "tokens a model may think, where its reasoning parser knows", minimum=0
    )
    skip_special_tokens: bool = setting(True, "leave special tokens out of the text")
    extra: dict[str, Any] = setting({}, "further vLLM SamplingParams, verbatim")

    @property
    def token_limit(self) -> int | None:
        """Tokens of a response at most; None: as many as the context allows."""
        return None if isinstance(self.max_tokens, str) else self.max_tokens

    @property
    def params(self) -> dict[str, Any]:
        """What is set of vLLM's SamplingParams, under its names; n, max_tokens and seed left out.

        A value that stands for vLLM's own default (empty, null) is left out.
        """
        own = ("n_samples", "max_tokens", "seed", "extra")
        found = {}
        for f in fields(self):
            value = getattr(self, f.name)
            is_unset = value is None or value == [] or value == {} or value is False
            if f.name not in own and not is_unset and (f.name, value) != UNSET_PARAM:
                found[f.name] = value
        return found | self.extra

"""Encode prompts to token ids, and join continued samples. Needs a tokenizer, not an engine."""

from typing import Any

from rollout.engines.vllm.chats import chat_token_ids, template_of
from rollout.errors import RequestRefused, UserError
from rollout.rows.messages import text_of
from rollout.rows.prompt import Prompt
from rollout.rows.reasoning import opens, split
from rollout.rows.request import Request, Sample

PROMPT_END_TOKENS = 32  # enough to hold a tag


class Encoder:
    """Encodes prompts as vLLM's `LLM.chat` and `LLM.generate` do, with vLLM's own renderer."""

    def __init__(self, renderer: Any, tokenizer: Any, model_path: str, vocab_size: int):
        self._renderer, self._tokenizer = renderer, tokenizer
        self._model_path, self._vocab_size = model_path, vocab_size

    def has_template(self, given: str | None) -> bool:
        """Return whether chats can be encoded, with the given template or the model's own."""
        return template_of(self._renderer, given) is not None

    def encode(self, prompt: Prompt, template: str | None, variables: dict[str, Any]) -> list[int]:
        """Return token ids as the model sees them: a chat gets no second BOS, a string the usual.

        Raises RequestRefused for a prompt that can't be encoded, UserError for a chat if there is
        no template.
        """
        if prompt.token_ids is not None:
            if (highest := max(prompt.token_ids)) >= self._vocab_size:
                raise RequestRefused(
                    f"token id {highest} is out of vocabulary: the model has {self._vocab_size}"
                )
            return list(prompt.token_ids)
        if isinstance(prompt.content, str):
            return self._tokenizer.encode(prompt.content)
        if template_of(self._renderer, template, prompt.tools) is None:
            raise UserError(
                f"{self._model_path} has no chat template, so it can't answer chats; "
                "type model.chat_template=FILE.jinja, or use an instruct model"
            )
        return chat_token_ids(self._renderer, prompt.content, template, prompt.tools, variables)

    def opens_reasoning(self, request: Request, token_ids: list[int]) -> bool:
        """Return whether the prompt, as the model saw it, ends inside the reasoning.

        Looks at its last tokens, so that text, chats and token ids are treated alike. Reasoning
        opened by a continued assistant message counts too.
        """
        if request.sampler is None:
            return False
        tags, content = request.sampler.reasoning_tags, request.prompt.content
        if isinstance(content, list) and content[-1].get("role") == "assistant":
            return not split(text_of(content[-1]), tags).is_closed
        return opens(self._tokenizer.decode(token_ids[-PROMPT_END_TOKENS:]), tags)

    def joined(self, prefix: Sample, more: Sample) -> Sample:
        """Join a sample and its continuation; a character split between them is restored."""
        whole = prefix.extended(more)
        if self._tokenizer.decode(prefix.token_ids, skip_special_tokens=True).endswith("\ufffd"):
            text = self._tokenizer.decode(whole.token_ids, skip_special_tokens=True)
            if text.startswith(prefix.text) and more.stop_reason is None:
                return prefix.extended(more, text)
        return whole

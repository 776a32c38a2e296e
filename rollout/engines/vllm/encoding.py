"""Prompts as token ids, and the text of continued samples. Needs a tokenizer, no engine."""

from typing import Any

from rollout.engines.vllm.chats import chat_token_ids, template_of
from rollout.errors import RequestRefused, UserError
from rollout.rows.messages import text_of
from rollout.rows.prompt import Prompt
from rollout.rows.reasoning import opens, split
from rollout.rows.request import Request, Sample

PROMPT_END_TOKENS = 32  # that surely hold a tag


class Encoder:
    """Encodes prompts as `LLM.chat` and `LLM.generate` of vLLM do, with vLLM's own renderer."""

    def __init__(self, renderer: Any, tokenizer: Any, model_path: str, vocab_size: int):
        self._renderer, self._tokenizer = renderer, tokenizer
        self._model_path, self._vocab_size = model_path, vocab_size

    def has_template(self, given: str | None) -> bool:
        """Whether chats can be asked, by the template that was given or the model's own."""
        return template_of(self._renderer, given) is not None

    def encode(self, prompt: Prompt, template: str | None, variables: dict[str, Any]) -> list[int]:
        """Token ids as the model sees them: a chat gets no second BOS, a string the usual one.

        Raises RequestRefused for a prompt that cannot be encoded, UserError for chats without a
        template.
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
                f"{self._model_path} has no chat template, so chats can't be asked; "
                "type model.chat_template=FILE.jinja, or take an instruct model"
            )
        return chat_token_ids(self._renderer, prompt.content, template, prompt.tools, variables)

    def opens_reasoning(self, request: Request, token_ids: list[int]) -> bool:
        """Whether the prompt, as the model saw it, ends within the reasoning.

        By its last tokens, so that text, chats and token ids are treated alike. Reasoning that
        a continued assistant message has opened counts, too.
        """
        if request.sampler is None:
            return False
        tags, content = request.sampler.reasoning_tags, request.prompt.content
        if isinstance(content, list) and content[-1].get("role") == "assistant":
            return not split(text_of(content[-1]), tags).is_closed
        return opens(self._tokenizer.decode(token_ids[-PROMPT_END_TOKENS:]), tags)

    def joined(self, prefix: Sample, more: Sample) -> Sample:
        """A sample and its continuation; a character cut in two at the seam is made whole."""
        whole = prefix.extended(more)
        if self._tokenizer.decode(prefix.token_ids, skip_special_tokens=True).endswith("\ufffd"):
            text = self._tokenizer.decode(whole.token_ids, skip_special_tokens=True)
            if text.startswith(prefix.text) and more.stop_reason is None:
                return prefix.extended(more, text)
        return whole

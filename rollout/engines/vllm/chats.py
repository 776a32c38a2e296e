"""Chats as `LLM.chat` prepares them: messages, tools and a template become token ids.

Owns which of vLLM's functions make them. They are those of `LLM.chat` itself, so the ids are its
own whatever version is installed: text parts are joined where the template takes strings, tool
call arguments become a mapping, `developer` becomes `system` where the template has no such role.
Promises that the messages stay as they are: vLLM decodes arguments in place, and a row's identity
hangs on them. Must not know requests, sampling or how an engine is driven.
"""

from copy import deepcopy
from typing import Any

from rollout.errors import RequestRefused
from rollout.rows.prompt import Message
from rollout.system.time_limit import OverLimit, limited

# The engine says these itself; vLLM would put its own value in their place without a word.
OURS = (
    "messages", "conversation", "add_generation_prompt", "continue_final_message", "tokenize",
    "chat_template",
)  # fmt: skip


def template_of(
    renderer: Any, given: str | None, tools: list[dict[str, Any]] | None = None
) -> str | None:
    """The text of the chat template that such a chat goes through; None where there is none.

    A tokenizer with a way of its own to write chats (Mistral's, DeepSeek's) has an empty one.
    """
    from vllm.renderers.hf import HfRenderer, resolve_chat_template

    if not isinstance(renderer, HfRenderer):
        return given or ""
    return resolve_chat_template(
        renderer.get_tokenizer(), given, tools, model_config=renderer.model_config
    )


def chat_token_ids(
    renderer: Any,
    messages: list[Message],
    template: str | None,
    tools: list[dict[str, Any]] | None,
    variables: dict[str, Any],
) -> list[int]:
    """Render and tokenise a chat; one that ends with the assistant's message is left open.

    `template` None is the model's own. Raises RequestRefused with the reason.
    """
    from vllm.renderers.params import ChatParams

    for name in OURS:
        if name in variables:
            raise RequestRefused(f"model.chat_template_kwargs must not set {name}")
    taken = template_of(renderer, template, tools)
    if tools and taken and "tools" not in taken:
        raise RequestRefused("the chat template takes no tools")
    if tools:
        variables = {**variables, "tools": tools}
    tokenizer = renderer.get_tokenizer()
    continued = messages[-1].get("role") == "assistant"
    asked = {
        **variables,
        "add_generation_prompt": not continued,
        "continue_final_message": continued,
        "tokenize": _encodes_chats(tokenizer),
    }
    try:
        _, prompt = limited(
            renderer.render_messages,
            [_own(message) for message in messages],
            ChatParams(chat_template=template, chat_template_kwargs=asked),
        )
    except OverLimit as error:
        raise RequestRefused(f"the chat template {error}") from error
    except Exception as error:  # the template is the model's own code: anything may come
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise RequestRefused(f"the chat template refused it: {lines[0][:500]}") from error
    if "prompt_token_ids" in prompt:
        return list(prompt["prompt_token_ids"])
    return tokenizer.encode(prompt["prompt"], add_special_tokens=False)


def _encodes_chats(tokenizer: Any) -> bool:
    """Whether it makes token ids of messages, with no text in between."""
    from vllm.utils.mistral import is_mistral_tokenizer

    return is_mistral_tokenizer(tokenizer)


def _own(message: Message) -> Message:
    """A message that vLLM may write into."""
    calls = message.get("tool_calls")
    return {**message, "tool_calls": deepcopy(calls)} if calls else message

"""Encode chats as `LLM.chat` does: messages, tools and a template become token ids.

Uses the functions of `LLM.chat` itself, so the ids match whatever version is installed: text parts
are joined if the template takes strings, tool call arguments become a mapping, `developer` becomes
`system` if the template has no such role. Guarantees not to change the messages: vLLM decodes
arguments in place, and a row's identity depends on them. Must not know about requests, sampling or
how an engine is driven.
"""

from copy import deepcopy
from typing import Any

from rollout.errors import RequestRefused
from rollout.rows.prompt import Message
from rollout.system.time_limit import OverLimit, limited

# Set by the engine; vLLM would silently overwrite them with its own values.
RESERVED = (
    "messages", "conversation", "add_generation_prompt", "continue_final_message", "tokenize",
    "chat_template",
)  # fmt: skip


def template_of(
    renderer: Any, given: str | None, tools: list[dict[str, Any]] | None = None
) -> str | None:
    """Return the text of the chat template that applies; None if there is none.

    Empty for a tokenizer that formats chats itself (Mistral's, DeepSeek's).
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
    """Render and tokenize a chat; one that ends with the assistant's message is left open.

    If `template` is None, the model's own is used. Raises RequestRefused with the reason.
    """
    from vllm.renderers.params import ChatParams
    from vllm.utils.mistral import is_mistral_tokenizer

    for name in RESERVED:
        if name in variables:
            raise RequestRefused(f"model.chat_template_kwargs must not set {name}")
    if tools:
        text = template_of(renderer, template, tools)
        if text and "tools" not in text:
            raise RequestRefused("the chat template takes no tools")
        variables = {**variables, "tools": tools}
    tokenizer = renderer.get_tokenizer()
    continued = messages[-1].get("role") == "assistant"
    variables = {
        **variables,
        "add_generation_prompt": not continued,
        "continue_final_message": continued,
        "tokenize": is_mistral_tokenizer(tokenizer),  # it makes ids of messages directly
    }
    try:
        _, prompt = limited(
            renderer.render_messages,
            [_own(message) for message in messages],
            ChatParams(chat_template=template, chat_template_kwargs=variables),
        )
    except OverLimit as error:
        raise RequestRefused(f"the chat template {error}") from error
    except Exception as error:  # the template is the model's own code: it may raise anything
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise RequestRefused(f"the chat template refused it: {lines[0][:500]}") from error
    if "prompt_token_ids" in prompt:
        return list(prompt["prompt_token_ids"])
    return tokenizer.encode(prompt["prompt"], add_special_tokens=False)


def _own(message: Message) -> Message:
    """Return a copy of the message that vLLM may modify."""
    calls = message.get("tool_calls")
    return {**message, "tool_calls": deepcopy(calls)} if calls else message

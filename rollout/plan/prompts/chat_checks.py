"""Checks of the first chats: members left out, JSON text sent as is, answers to be continued.

Each check returns a one-line warning, or None. Must not know how warnings are shown.
"""

import re

from rollout.config.sections.data import PromptFormat
from rollout.config.sections.prepare import LastAnswer
from rollout.inputs.prompts import Prompts
from rollout.plan.prompts.tokenizer import PromptTokenizer
from rollout.rows.prompt import Message, Prompt

# Members of a message that vLLM's LLM.chat passes to a template.
KEPT = {"role", "content", "tool_calls", "tool_call_id", "reasoning", "name", "task", "tools"}
JSON_CHAT = re.compile(r'\s*\[\s*\{\s*"(role|content|from|value)"\s*:')


def members_left_out(rows: list[Prompt], tokenizer: PromptTokenizer) -> str | None:
    """Warn about members that the template prints, but vLLM leaves out."""
    messages = [message for chat in _chats(rows) for message in chat]
    odd = {key for m in messages for key in m.keys() - KEPT}
    if all("reasoning" in m for m in messages if "reasoning_content" in m):
        odd.discard("reasoning_content")
    text = "\n".join(tokenizer.templates.values())
    found = sorted(key for key in odd if re.search(rf"\b{re.escape(key)}\b", text))
    if not found:
        return None
    fix = "rename it to reasoning" if found[0] == "reasoning_content" else "put it into content"
    return (
        f"messages have {found[0]}, which the chat template prints; vLLM's LLM.chat leaves it "
        f"out, and so does rollout; {fix}"
    )


def _chats(rows: list[Prompt]) -> list[list[Message]]:
    return [row.content for row in rows if isinstance(row.content, list)]


def calls_left_out(rows: list[Prompt], tokenizer: PromptTokenizer) -> str | None:
    """Warn about tool calls that the template does not print."""
    found = sum(any(m.get("tool_calls") for m in chat) for chat in _chats(rows))
    prints = any("tool_calls" in source for source in tokenizer.templates.values())
    if not found or prints or not tokenizer.has_chat_template:
        return None
    return (
        f"{found} of the first {len(rows)} chats have tool calls, which the chat template does not "
        "print: the model gets the chats without them, as with LLM.chat; use a model made for tools"
    )


def chats_in_text(rows: list[Prompt], prompts: Prompts) -> str | None:
    """Warn about chats as JSON text, if data.prompt_format does not say how to read them."""
    data = prompts.data
    texts = [row.content for row in rows if isinstance(row.content, str)]
    found = [match for text in texts if (match := JSON_CHAT.match(text))]
    if not found or data.prompt_format is not PromptFormat.auto or data.template is not None:
        return None
    kind = "sharegpt" if found[0][1] in ("from", "value") else "json"
    return (
        f"{len(found)} of the first {len(rows)} prompts are chats as JSON text, and are sent as "
        f"plain text; type data.prompt_format={kind}"
    )


def answers_at_the_end(rows: list[Prompt], prompts: Prompts) -> str | None:
    """Warn about a last assistant message, which is continued by default."""
    found = sum(chat[-1]["role"] == "assistant" for chat in _chats(rows))
    if not found or prompts.data.last_answer is not LastAnswer.auto:
        return None
    return (
        f"{found} of the first {len(rows)} chats end with an assistant message, which is "
        "continued; type data.last_answer=drop to generate it anew, data.last_answer=keep to hide "
        "this note"
    )

"""What looks wrong with chats before they are asked: parts left out, JSON asked as it stands.

Owns these checks of the first rows; each gives one line, or None where all is well. Must not know
how they are shown.
"""

import re

from rollout.config.sections.data import PromptFormat
from rollout.config.sections.prepare import LastAnswer
from rollout.inputs.prompts import Prompts
from rollout.plan.prompts.tokenizer import PromptTokenizer
from rollout.rows.prompt import Prompt

# Members of a message that LLM.chat of vLLM hands to a template.
KEPT = {"role", "content", "tool_calls", "tool_call_id", "reasoning", "name", "task", "tools"}
JSON_CHAT = re.compile(r'\s*\[\s*\{\s*"(role|content|from|value)"\s*:')


def members_left_out(rows: list[Prompt], tokenizer: PromptTokenizer) -> str | None:
    """Members that a template would print, and that vLLM does not give it."""
    messages = [m for row in rows if isinstance(row.content, list) for m in row.content]
    odd = {key for m in messages for key in m.keys() - KEPT if not _is_doubled(key, m)}
    text = "\n".join(tokenizer.templates.values())
    found = sorted(key for key in odd if re.search(rf"\b{re.escape(key)}\b", text))
    if not found:
        return None
    way = "call it reasoning" if found[0] == "reasoning_content" else "put it into content"
    return (
        f"messages have {found[0]}, which the chat template would print; vLLM's LLM.chat leaves it "
        f"out, and so does rollout; {way}"
    )


def _is_doubled(key: str, message: dict) -> bool:
    return key == "reasoning_content" and "reasoning" in message


def calls_left_out(rows: list[Prompt], tokenizer: PromptTokenizer) -> str | None:
    """Tool calls in the chats that the template does not print."""
    chats = [row.content for row in rows if isinstance(row.content, list)]
    found = sum(any(m.get("tool_calls") for m in chat) for chat in chats)
    prints = any("tool_calls" in source for source in tokenizer.templates.values())
    if not found or prints or not tokenizer.has_chat_template:
        return None
    return (
        f"{found} of the first {len(rows)} chats hold tool calls, which the chat template does not "
        "print: the model is asked without them (so does LLM.chat); take a model made for tools"
    )


def chats_in_text(rows: list[Prompt], prompts: Prompts) -> str | None:
    """Chats in JSON text that nobody said to read."""
    data = prompts.data
    texts = [row.content for row in rows if isinstance(row.content, str)]
    found = [match for text in texts if (match := JSON_CHAT.match(text))]
    if not found or data.prompt_format is not PromptFormat.auto or data.template is not None:
        return None
    kind = "sharegpt" if found[0][1] in ("from", "value") else "json"
    return (
        f"{len(found)} of the first {len(rows)} prompts are chats in JSON text, and are asked as "
        f"they stand; type data.prompt_format={kind}"
    )


def answers_at_the_end(rows: list[Prompt], prompts: Prompts) -> str | None:
    """Answers that are continued although nobody said so."""
    chats = [row.content for row in rows if isinstance(row.content, list)]
    found = sum(chat[-1]["role"] == "assistant" for chat in chats)
    if not found or prompts.data.last_answer is not LastAnswer.auto:
        return None
    return (
        f"{found} of the first {len(rows)} chats end with the assistant's message, which is "
        "continued; data.last_answer=drop asks for it anew, data.last_answer=keep is silent"
    )

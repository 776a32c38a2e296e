"""Prepare chats as vLLM's `LLM.chat` does before its chat template, without vLLM.

Follows vLLM's message preparation (vllm/renderers/chat_utils.py, hf.py of 0.32) for messages that
were checked; tests keep the two equal over templates and messages of every shape. Must not know
about tokenizers, or how a template is run.
"""

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from rollout.plan.prompts.chat_template import parsed
from rollout.rows.messages import part_text, text_of
from rollout.rows.prompt import Message

if TYPE_CHECKING:
    from jinja2 import nodes

# Members of a part that vLLM reads itself; it passes others to a template that takes parts.
PART_MEMBERS = frozenset(
    ("audio_embeds", "audio_url", "closed", "data", "file", "image_embeds",
     "image_pil", "image_url", "input_audio", "name", "prompt_cache_breakpoint", "refusal", "text",
     "thinking", "type", "uuid", "video_embeds", "video_url")
)  # fmt: skip


def prepared(messages: list[Message], source: str) -> list[Message]:
    """Return the messages as the template `source` receives them. Does not change `messages`."""
    as_parts = takes_parts(source)
    found = [_prepared(message, as_parts) for message in messages]
    is_known = "'developer'" in source or '"developer"' in source
    if is_known or all(message["role"] != "developer" for message in found):
        return found
    return _one_system([_as_system(message) for message in found])


def _prepared(message: Message, as_parts: bool) -> Message:
    role, content = message["role"], message.get("content")
    made: Message = {"role": role, "content": text_of(message)}
    if as_parts:
        content = [content] if isinstance(content, str) else content or []
        made["content"] = [_part(part) for part in content]
    if as_parts and role == "tool":  # few templates take a list here
        made["content"] = "\n".join(map(part_text, content))
    if role == "assistant":
        if calls := message.get("tool_calls"):
            made["tool_calls"] = [_call(call) for call in calls]
        if (reasoning := message.get("reasoning")) is not None:
            made |= {"reasoning": reasoning, "reasoning_content": reasoning}
    if role == "tool" and "tool_call_id" in message:
        made["tool_call_id"] = message["tool_call_id"]
    made |= {key: message[key] for key in ("name", "task") if isinstance(message.get(key), str)}
    if role == "developer":
        made["tools"] = message.get("tools")
    return made


def _part(part: Any) -> dict[str, Any]:
    more = part.items() if isinstance(part, dict) else ()
    return {"type": "text", "text": part_text(part)} | {
        key: value for key, value in more if key not in PART_MEMBERS
    }


def _call(call: dict[str, Any]) -> dict[str, Any]:
    """Return a tool call with its arguments as a mapping."""
    arguments = call["function"].get("arguments") or {}
    if isinstance(arguments, str):
        arguments = json.loads(arguments) or {}
    return {**call, "function": {**call["function"], "arguments": arguments}}


def _as_system(message: Message) -> Message:
    if message["role"] != "developer":
        return message
    return {key: value for key, value in message.items() if key != "tools"} | {"role": "system"}


def _one_system(messages: list[Message]) -> list[Message]:
    """Join all system messages into one at the start."""
    places = [i for i, message in enumerate(messages) if message["role"] == "system"]
    if places == [0]:
        return messages
    texts = filter(None, (text_of(messages[place]) for place in places))
    rest = [message for message in messages if message["role"] != "system"]
    return [{"role": "system", "content": "\n\n".join(texts)}, *rest]


# Whether a template loops over the parts of a content or takes strings.


@cache
def takes_parts(source: str) -> bool:
    """Whether vLLM passes lists of parts to this template; invalid templates get strings."""
    from jinja2 import TemplateError, nodes

    try:
        tree = parsed(source)
    except (TemplateError, RecursionError):
        return False
    loops = list(tree.find_all(nodes.For))
    chats, waiting = {"messages"}, ["messages"]
    while waiting:
        name = waiting.pop()
        for assigned in tree.find_all(nodes.Assign):
            if _is_of(assigned.node, name):
                if not isinstance(assigned.target, nodes.Name):
                    return False
                if assigned.target.name not in chats:
                    chats.add(assigned.target.name)
                    waiting.append(assigned.target.name)
    turns = [loop.target for loop in loops if any(_is_of(loop.iter, name) for name in chats)]
    if not all(isinstance(target, nodes.Name) for target in turns):
        return False
    contents = [(target.name, "content") for target in turns]
    by_macro, in_macros = _loops_over_arguments(tree, contents)
    for loop in loops:
        is_parts = any(_is_of(loop.iter, *content) for content in contents) or id(loop) in by_macro
        is_named = isinstance(loop.iter, nodes.Name) and loop.iter.name == "content"
        if is_parts or (is_named and id(loop) not in in_macros):
            return isinstance(loop.target, nodes.Name)
    return False


def _loops_over_arguments(
    tree: "nodes.Template", contents: list[tuple[str, str]]
) -> tuple[set[int], set[int]]:
    """Return the ids of macros' loops over a message's content, and of all macros' loops."""
    from jinja2 import nodes

    over, inside = set(), set()
    for macro in tree.find_all(nodes.Macro):
        names = [argument.name for argument in macro.args]
        given: set[str] = set()
        for call in tree.find_all(nodes.Call):
            if isinstance(call.node, nodes.Name) and call.node.name == macro.name:
                pairs = [*zip(names, call.args, strict=False)]
                pairs += [(k.key, k.value) for k in call.kwargs if k.key in names]
                given |= {n for n, value in pairs if any(_is_of(value, *c) for c in contents)}
        for loop in macro.find_all(nodes.For):
            inside.add(id(loop))
            if isinstance(loop.iter, nodes.Name) and loop.iter.name in given:
                over.add(id(loop))
    return over, inside


def _is_of(node: "nodes.Node | None", name: str, member: str | None = None) -> bool:
    """Whether `node` is the variable `name` or its `member`, also filtered, tested or sliced."""
    from jinja2 import nodes

    while isinstance(node, nodes.Filter | nodes.Test) or (
        isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice)
    ):
        node = node.node
    if member is not None:
        is_item = isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const)
        if not (is_item and node.arg.value == member) and not (
            isinstance(node, nodes.Getattr) and node.attr == member
        ):
            return False
        node = node.node
    return isinstance(node, nodes.Name) and node.ctx == "load" and node.name == name

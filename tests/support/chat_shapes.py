"""Chats of every shape that occurs: (messages, tools), by name.

Contents as in OpenAI clients, agent traces and data sets; arguments as JSON text and as a mapping.
"""

HI = {"role": "user", "content": "  Hi, Grüße 🙂 \n"}
MORE = {"role": "user", "content": "more"}
YES = {"role": "assistant", "content": "yes"}
BRIEF = {"role": "system", "content": "Be brief. "}
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOLS = [
    {"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}},
    {"type": "function", "function": {"name": "add", "description": "é <b> & 'c'"}},
]


def called(arguments, name="weather", call_id="123456789", **more):
    """Return an assistant message with one tool call."""
    function = {"name": name, "arguments": arguments}
    call = {"id": call_id, "type": "function", "function": function}
    return {"role": "assistant", "content": None, "tool_calls": [call]} | more


def result(content, call_id="123456789", **more):
    """Return a tool's message."""
    return {"role": "tool", "tool_call_id": call_id, "content": content} | more


def parts(*texts, role="user", kind="text", member="text"):
    """Return a message of text parts."""
    return {"role": role, "content": [{"type": kind, member: text} for text in texts]}


JSON_TEXT = '{"city": "Oslo", "days": [1, 2], "deep": {"é": null}}'
MAPPING = {"city": "Oslo", "days": [1, 2]}
TWO_CALLS = [*called("{}")["tool_calls"], *called({"a": 1}, "add", "987654321")["tool_calls"]]
CHATS = {
    "a question": [HI],
    "a system message": [BRIEF, HI],
    "turns": [BRIEF, HI, YES, MORE],
    "two system messages": [BRIEF, {"role": "system", "content": "In Norwegian."}, HI],
    "a late system message": [HI, YES, BRIEF, MORE],
    "a system message alone": [BRIEF],
    "two user messages": [HI, MORE],
    "parts": [parts("What is in this?", "Tell me.")],
    "one part": [parts("What?")],
    "parts of a system message": [parts("Be brief.", "Be kind.", role="system"), parts("a", "b")],
    "parts of an answer": [HI, parts("a ", "b", role="assistant"), MORE],
    "an empty part": [parts("", "a")],
    "texts as parts": [{"role": "user", "content": ["a", "b"]}],
    "parts of another kind": [parts("a", "b", kind="input_text")],
    "a refusal": [HI, parts("No.", role="assistant", kind="refusal", member="refusal"), MORE],
    "parts with more members": [
        {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"b": "c"}}]}
    ],
    "arguments as text": [HI, called(JSON_TEXT), result("3")],
    "arguments as a mapping": [HI, called(MAPPING), result("3")],
    "arguments that are empty": [HI, called(""), result("3"), YES, MORE],
    "arguments that are none": [HI, called(None), result("3"), YES, MORE],
    "arguments that are {}": [HI, called("{}"), result("3"), YES, MORE],
    "arguments that are {}, no text": [HI, called({}), result("3"), YES, MORE],
    "no arguments": [
        HI,
        {"role": "assistant", "tool_calls": [{"function": {"name": "weather"}}]},
        result("3"),
    ],
    "a call beside a text": [HI, called(JSON_TEXT, content="Let me look."), result("3"), MORE],
    "two calls": [
        HI,
        {"role": "assistant", "content": "", "tool_calls": TWO_CALLS},
        result("3"),
        result("4", "987654321"),
    ],
    "a call without a type": [
        HI,
        {"role": "assistant", "content": "", "tool_calls": [
            {"id": "123456789", "function": {"name": "weather", "arguments": JSON_TEXT}}]},
        result("3"),
    ],
    "a result of parts": [HI, called(JSON_TEXT), result([{"type": "text", "text": "3"}] * 2)],
    "a result with an empty part": [
        HI, called(JSON_TEXT), result([{"type": "text", "text": ""}, {"type": "text", "text": "3"}])
    ],
    "a result with a name": [HI, called(JSON_TEXT), result("3", name="weather")],
    "a result that is empty": [HI, called(JSON_TEXT), result("")],
    "a result that is none": [HI, called(JSON_TEXT), result(None)],
    "no tool calls": [HI, YES | {"tool_calls": []}, MORE],
    "tool calls that are none": [HI, YES | {"tool_calls": None}, MORE],
    "a null answer": [HI, {"role": "assistant", "content": None}, MORE],
    "no content": [HI, {"role": "assistant"}, MORE],
    "an empty list": [HI, {"role": "assistant", "content": []}, MORE],
    "an empty answer": [HI, {"role": "assistant", "content": ""}, MORE],
    "an empty question": [{"role": "user", "content": ""}],
    "OpenAI's own members": [
        HI,
        YES | {"refusal": None, "annotations": [], "audio": None, "function_call": None},
        MORE,
    ],
    "a developer": [{"role": "developer", "content": "Be brief."}, HI],
    "a developer and a system": [BRIEF, {"role": "developer", "content": "Be kind."}, HI],
    "a late developer": [HI, YES, parts("x", "y", role="developer"), MORE],
    "a developer with tools": [{"role": "developer", "content": "x", "tools": TOOLS}, HI],
    "reasoning": [HI, YES | {"reasoning": "\nso\n"}, MORE],
    "reasoning_content": [HI, YES | {"reasoning_content": "so"}, MORE],
    "reasoning before a call": [HI, called(JSON_TEXT, reasoning="so"), result("3")],
    "thinking in the text": [HI, YES | {"content": "<think>\nso\n</think>\n\nyes"}, MORE],
    "names": [HI | {"name": "ann"}, YES | {"name": "bob"}, MORE],
    "a name that is no text": [HI | {"name": 3}],
    "an unknown role": [HI, {"role": "critic", "content": "no"}, MORE],
    "special tokens in the text": [{"role": "user", "content": "<s> <|end|> <|assistant|>"}],
    "an answer to go on with": [HI, {"role": "assistant", "content": "Well, "}],
    "parts to go on with": [HI, parts("One. ", "Two, ", role="assistant")],
    "thinking to go on with": [HI, {"role": "assistant", "content": "<think>\nso, "}],
    "an empty answer to go on with": [HI, {"role": "assistant", "content": ""}],
    "a null answer to go on with": [HI, {"role": "assistant", "content": None}],
    "a call to go on with": [HI, called(JSON_TEXT)],
    "an answer after a call to go on with": [HI, called(JSON_TEXT), result("3"), YES],
    "unknown members": [HI | {"weight": 1}, YES | {"thinking": "x", "prefix": True}, MORE],
}  # fmt: skip

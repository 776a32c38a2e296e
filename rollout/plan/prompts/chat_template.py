"""Chat templates, run as transformers runs them (utils/chat_template_utils.py), without it.

Owns the sandbox: a template is the model's own code, and can reach nothing but what it is given.
Must not know tokenizers.
"""

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from rollout.rows.prompt import Message
from rollout.system.jinja import check_indent, sandbox
from rollout.system.time_limit import Patience

if TYPE_CHECKING:
    import jinja2
    from jinja2 import nodes

GO_ON = "THE_ANSWER_GOES_ON_HERE "  # the space at its end shows whether the template trims


def left_open(message: Message, source: str) -> tuple[str, Message]:
    """The text to be continued, and the message with a mark after it."""
    content = message.get("content")
    if content is None or "content" not in source:
        raise ValueError("the assistant's message has no content that could be continued")
    if isinstance(content, str):
        return content, message | {"content": content + GO_ON}
    last = max(i for i, part in enumerate(content) if "text" in part)
    said = content[last]["text"]
    marked = content[last] | {"text": said + GO_ON}
    return said, message | {"content": [*content[:last], marked, *content[last + 1 :]]}


def rendered(source: str, given: dict[str, Any]) -> str:
    """What a template makes of its variables. Raises whatever it does, OverLimit, UserError."""
    return _patience(source).limited(lambda values: _compiled(source).render(values), given)


@cache
def _patience(source: str) -> Patience:
    return Patience("the chat template", ("messages",))


@cache
def _compiled(source: str) -> "jinja2.Template":
    return _environment().from_string(source)


def parsed(source: str) -> "nodes.Template":
    """The template's syntax tree. Raises jinja2.TemplateError where it is none."""
    return _environment().parse(source)


@cache
def _environment() -> "jinja2.Environment":
    from datetime import datetime

    from jinja2 import TemplateError, nodes
    from jinja2.ext import Extension

    class Generation(Extension):
        """`{% generation %}` marks what an assistant says; for prompts it is only a scope."""

        tags = frozenset({"generation"})

        def parse(self, parser):
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body, lineno=line)

    def refuse(message):
        raise TemplateError(message)

    def to_json(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        check_indent(indent)
        layout = {"indent": indent, "separators": separators, "sort_keys": sort_keys}
        return json.dumps(value, ensure_ascii=ensure_ascii, **layout)  # <, > and & as they are

    environment = sandbox()(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda format: datetime.now().strftime(format)
    return environment

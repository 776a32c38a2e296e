"""Run chat templates as transformers does (utils/chat_template_utils.py), without importing it.

Owns the sandbox: a template is code that comes with the model, and can reach only its variables.
Must not know about tokenizers.
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

MARK = "THE_ANSWER_GOES_ON_HERE "  # the final space shows whether the template trims


def marked(message: Message, source: str) -> tuple[str, Message]:
    """Return the text to continue, and the message with MARK appended to that text."""
    content = message.get("content")
    if content is None or "content" not in source:
        raise ValueError("the last assistant message has no content to continue")
    if isinstance(content, str):
        return content, message | {"content": content + MARK}
    last = max(i for i, part in enumerate(content) if "text" in part)
    text = content[last]["text"]
    part = content[last] | {"text": text + MARK}
    return text, message | {"content": [*content[:last], part, *content[last + 1 :]]}


def rendered(source: str, given: dict[str, Any]) -> str:
    """Render a template. Raises whatever the template raises, OverLimit, UserError."""
    return _patience(source).limited(lambda values: _compiled(source).render(values), given)


@cache
def _patience(source: str) -> Patience:
    return Patience("the chat template", ("messages",))


@cache
def _compiled(source: str) -> "jinja2.Template":
    return _environment().from_string(source)


def parsed(source: str) -> "nodes.Template":
    """Return the template's syntax tree. Raises jinja2.TemplateError if it is invalid."""
    return _environment().parse(source)


@cache
def _environment() -> "jinja2.Environment":
    from datetime import datetime

    from jinja2 import TemplateError, nodes
    from jinja2.ext import Extension

    class Generation(Extension):
        """`{% generation %}` marks the assistant's text; for prompts it is only a scope."""

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
        return json.dumps(value, ensure_ascii=ensure_ascii, **layout)  # <, > and & unescaped

    environment = sandbox()(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda format: datetime.now().strftime(format)
    return environment

"""Row template: data.template, Jinja over a row's columns, makes the text that is asked.

Owns the sandbox it runs in. Promises: a template that is none is a UserError; one that fails on a
row raises a ValueError of one line for that row; what is missing, null or binary is never printed
as if it were text. Must not know chats, files of rows, or chat templates, which are the model's.
"""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rollout.errors import Interrupted, UserError

if TYPE_CHECKING:
    import jinja2

RENDERED = "data.template"


@dataclass(frozen=True, slots=True, eq=False)
class RowTemplate:
    """A template ready to render. Made by `open_template`."""

    compiled: "jinja2.Template"
    source: str
    names: frozenset[str]  # looked up when it renders, Jinja's own (range, ...) left out

    def render(self, values: dict[str, Any]) -> str:
        """The text for a row's columns. Raises ValueError."""
        if odd := [name for name, value in values.items() if isinstance(value, bytes)]:
            raise ValueError(f"column {odd[0]!r} holds binary data, or what can't be read as text")
        try:
            text = self.compiled.render(values)
            text.encode()
        except Interrupted:
            raise
        except Exception as error:  # whatever a row's values make of it
            lines = str(error).strip().splitlines() or [type(error).__name__]
            nulls = [name for name, value in values.items() if value is None]
            hint = f" (null here: {', '.join(nulls)})" if nulls else ""
            raise ValueError(f"{RENDERED} fails on this row: {lines[0][:300]}{hint}") from error
        return text


def open_template(source: str) -> RowTemplate:
    """Compile the template. Raises UserError where it is none, or would ask the same of all."""
    from jinja2 import TemplateSyntaxError, meta

    environment = _environment()
    try:
        tree = environment.parse(source)
        if list(meta.find_referenced_templates(tree)):
            raise UserError(f"{RENDERED} includes another template; put its text in its place")
        names = meta.find_undeclared_variables(tree) - set(environment.globals)
        compiled = environment.from_string(source)
    except TemplateSyntaxError as error:
        raise UserError(
            f"{RENDERED} is no Jinja template: line {error.lineno}: {error.message}; in double "
            "braces stands an expression over the columns, such as {{ question }}"
        ) from error
    except RecursionError as error:
        raise UserError(f"{RENDERED} is nested too deep for Jinja") from error
    if not names:
        raise UserError(
            f"{RENDERED} names no column, so all rows would ask the same; write a column's name in "
            "double braces: {{ question }}"
        )
    return RowTemplate(compiled, source, frozenset(names))


def _environment() -> "jinja2.Environment":
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def printed(value: Any) -> Any:
        """Refuse to print what is no text: `None` in a prompt is a mistake that nobody sees."""
        if value is None:
            raise ValueError("it prints a null; write {{ name or '' }} where that is meant")
        if isinstance(value, bytes):
            raise ValueError("it prints binary data")
        if callable(value) and not isinstance(value, StrictUndefined):  # {{ item.items }}
            raise ValueError("it prints a function; a member of that name is item['name']")
        return value

    def to_json(value: Any, indent: int | None = None) -> str:
        return json.dumps(value, ensure_ascii=False, indent=indent)  # <, > and & as they are

    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, finalize=printed, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["tojson"] = to_json
    return environment

"""Row template: data.template, Jinja over a row's columns, makes the text that is asked.

Owns the sandbox it runs in. Promises: a template that is none is a UserError; one that fails on a
row raises a ValueError of one line for that row; what may be printed, printing.py says. Must not
know chats, files of rows, or chat templates, which are the model's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rollout.errors import Interrupted, UserError
from rollout.inputs.printing import Unprintable, checked_environment, printed_names, to_json
from rollout.system.jinja import sandbox
from rollout.system.time_limit import OverLimit, Patience, limited

if TYPE_CHECKING:
    import jinja2

RENDERED = "data.template"


@dataclass(frozen=True, slots=True, eq=False)
class RowTemplate:
    """A template ready to render. Made by `open_template`."""

    compiled: "jinja2.Template"
    source: str
    names: frozenset[str]  # looked up when it renders, Jinja's own (range, ...) left out
    printed: frozenset[str]  # of these, what it prints just as it is
    setting: str  # where it was given
    patience: Patience

    def render(self, values: dict[str, Any]) -> str:
        """The text for a row's columns. Raises ValueError."""
        if odd := [name for name, value in values.items() if isinstance(value, bytes)]:
            raise ValueError(f"column {odd[0]!r} holds binary data, or what can't be read as text")
        try:
            text = self.patience.limited(self.compiled.render, values)
            text.encode()
        except (Interrupted, UserError):
            raise
        except Unprintable as error:
            raise ValueError(f"{self.setting} fails on this row: {error.of(values)}") from error
        except Exception as error:  # whatever a row's values make of it
            lines = str(error).strip().splitlines() or [type(error).__name__]
            nulls = [name for name, value in values.items() if value is None]
            hint = f" (null here: {', '.join(nulls)})" if nulls else ""
            raise ValueError(f"{self.setting} fails on this row: {lines[0][:300]}{hint}") from error
        return text


@dataclass(frozen=True, slots=True, eq=False)
class RowCondition:
    """A Jinja expression ready to ask of a row. Made by `open_condition`."""

    compiled: Callable[..., Any]
    names: frozenset[str]
    setting: str
    patience: Patience

    def holds(self, values: dict[str, Any]) -> bool:
        """Whether it is true for a row's columns. Raises ValueError."""
        try:
            return bool(self.patience.limited(self.compiled, values))
        except (Interrupted, UserError):
            raise
        except Exception as error:  # whatever a row's values make of it
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise ValueError(f"{self.setting} fails on this row: {lines[0][:300]}") from error


def open_condition(source: str, setting: str) -> RowCondition:
    """Compile an expression such as `level > 3`. Raises UserError where it is none."""
    from jinja2 import TemplateSyntaxError, meta

    environment = _environment()
    text = source.strip()
    if text.startswith("{{") and text.endswith("}}"):
        text = text[2:-2]
    try:
        tree = limited(environment.parse, "{{(" + text + ")}}")
        names = meta.find_undeclared_variables(tree)
        compiled = limited(environment.compile_expression, text, False)
    except TemplateSyntaxError as error:
        raise UserError(
            f"{setting}={source} is no Jinja expression: {error.message}; it is like level > 3 "
            "and 'x' in question"
        ) from error
    except OverLimit as error:
        raise UserError(f"{setting} {error} to compile; make it shorter") from error
    except (RecursionError, MemoryError, SyntaxError) as error:
        raise UserError(f"{setting} is nested too deep for Jinja") from error
    names -= set(environment.globals)
    return RowCondition(compiled, frozenset(names), setting, Patience(setting))


def open_template(
    source: str, setting: str = RENDERED, may_be_constant: bool = False
) -> RowTemplate:
    """Compile the template. Raises UserError where it is none, or would ask the same of all.

    Errors name `setting`. With `may_be_constant` it need not name a column.
    """
    from jinja2 import TemplateSyntaxError, meta

    environment = checked_environment()
    try:
        tree = limited(environment.parse, source)
        if list(meta.find_referenced_templates(tree)):
            raise UserError(f"{setting} includes another template; put its text in its place")
        names = meta.find_undeclared_variables(tree) - set(environment.globals)
        compiled = limited(environment.from_string, source)
    except TemplateSyntaxError as error:
        raise UserError(
            f"{setting} is no Jinja template: line {error.lineno}: {error.message}; in double "
            "braces stands an expression over the columns, such as {{ question }}"
        ) from error
    except OverLimit as error:
        raise UserError(f"{setting} {error} to compile; make it shorter") from error
    except (RecursionError, MemoryError, SyntaxError) as error:  # 20 loops within each other
        raise UserError(f"{setting} is nested too deep for Jinja") from error
    if not names and not may_be_constant:
        raise UserError(
            f"{setting} names no column, so all rows would ask the same; write a column's name in "
            "double braces: {{ question }}"
        )
    printed, patience = printed_names(tree), Patience(setting)
    return RowTemplate(compiled, source, frozenset(names), printed, setting, patience)


def _environment() -> "jinja2.Environment":
    """For expressions, which print nothing."""
    from jinja2 import StrictUndefined

    environment = sandbox()(undefined=StrictUndefined)
    environment.filters["tojson"] = to_json
    return environment

"""Row templates: data.template, a Jinja template over a row's columns, makes the prompt's text.

Owns the sandbox it runs in. Guarantees: an invalid template is a UserError; one that fails on a row
raises a one-line ValueError for that row; printing.py decides what may be printed. Must not know
about chats, files of rows, or the model's chat templates.
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
    names: frozenset[str]  # the columns it uses, without Jinja's globals (range, ...)
    printed: frozenset[str]  # those it prints unchanged
    setting: str  # named in errors
    patience: Patience

    def render(self, values: dict[str, Any]) -> str:
        """Return the text for a row's columns. Raises ValueError."""
        if odd := [name for name, value in values.items() if isinstance(value, bytes)]:
            raise ValueError(f"column {odd[0]!r} holds binary data, or can't be read as text")
        try:
            text = self.patience.limited(self.compiled.render, values)
            text.encode()
        except (Interrupted, UserError):
            raise
        except Unprintable as error:
            raise ValueError(f"{self.setting} fails on this row: {error.of(values)}") from error
        except Exception as error:  # a template may raise anything
            nulls = [name for name, value in values.items() if value is None]
            hint = f" (null here: {', '.join(nulls)})" if nulls else ""
            raise ValueError(f"{_failure(self.setting, error)}{hint}") from error
        return text


@dataclass(frozen=True, slots=True, eq=False)
class RowCondition:
    """A Jinja expression ready to evaluate on a row. Made by `open_condition`."""

    compiled: Callable[..., Any]
    names: frozenset[str]
    setting: str
    patience: Patience

    def holds(self, values: dict[str, Any]) -> bool:
        """Return whether it is true for a row's columns. Raises ValueError."""
        try:
            return bool(self.patience.limited(self.compiled, values))
        except (Interrupted, UserError):
            raise
        except Exception as error:  # an expression may raise anything
            raise ValueError(_failure(self.setting, error)) from error


def _failure(setting: str, error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return f"{setting} fails on this row: {lines[0][:300]}"


def open_condition(source: str, setting: str) -> RowCondition:
    """Compile an expression such as `level > 3`. Raises UserError if it is invalid."""
    from jinja2 import StrictUndefined, TemplateSyntaxError, meta

    environment = sandbox()(undefined=StrictUndefined)  # unchecked: expressions print nothing
    environment.filters["tojson"] = to_json
    text = source.strip()
    if text.startswith("{{") and text.endswith("}}"):
        text = text[2:-2]
    try:
        tree = limited(environment.parse, "{{(" + text + ")}}")
        names = meta.find_undeclared_variables(tree)
        compiled = limited(environment.compile_expression, text, False)
    except TemplateSyntaxError as error:
        raise UserError(
            f"{setting}={source} is not a Jinja expression: {error.message}; type one such as "
            "level > 3 and 'x' in question"
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
    """Compile the template. Raises UserError if it is invalid, or uses no column.

    Errors name `setting`. With `may_be_constant`, a template without columns is accepted.
    """
    from jinja2 import TemplateSyntaxError, meta

    environment = checked_environment()
    try:
        tree = limited(environment.parse, source)
        if list(meta.find_referenced_templates(tree)):
            raise UserError(f"{setting} includes another template; write its text here instead")
        names = meta.find_undeclared_variables(tree) - set(environment.globals)
        compiled = limited(environment.from_string, source)
    except TemplateSyntaxError as error:
        raise UserError(
            f"{setting} is not a Jinja template: line {error.lineno}: {error.message}; write "
            "expressions over the columns in double braces, such as {{ question }}"
        ) from error
    except OverLimit as error:
        raise UserError(f"{setting} {error} to compile; make it shorter") from error
    except (RecursionError, MemoryError, SyntaxError) as error:  # 20 nested loops
        raise UserError(f"{setting} is nested too deep for Jinja") from error
    if not names and not may_be_constant:
        raise UserError(
            f"{setting} names no column, so all prompts would be the same; write a column's name "
            "in double braces: {{ question }}"
        )
    printed, patience = printed_names(tree), Patience(setting)
    return RowTemplate(compiled, source, frozenset(names), printed, setting, patience)

"""Restrict what a template over a row's columns prints: text, numbers, dates, true and false.

Owns the checks wherever Jinja converts a value to text: `{{ x }}`, `~`, `%`, .format() and the
text filters. Guarantees that nulls, lists, objects and the like are refused there and never become
text; numbers, dates and booleans are written as Python's str does (1.0, 2024-05-01, True).
Must not know about rows or settings.
"""

import json
from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any

from rollout.system.jinja import check_format, check_indent, check_join, sandbox

if TYPE_CHECKING:
    import jinja2
    from jinja2 import nodes

CHECK = "checked_to_print"  # the filter inserted where Jinja has no hook
# Filters that convert any value to text.
TEXT_FILTERS = (
    "string", "upper", "lower", "title", "capitalize", "trim", "replace", "center", "indent",
    "wordwrap", "truncate", "wordcount", "striptags", "escape", "e", "forceescape", "safe",
    "urlize", "pprint",
)  # fmt: skip


class Unprintable(ValueError):
    """A value that can't be printed; the message says what to write for a value called `name`."""

    def __init__(self, value: Any, reason: str):
        super().__init__(reason.format(name="name"))
        self.value, self.reason = value, reason

    def of(self, values: dict[str, Any]) -> str:
        """Return the message with the column's name, if the value is a column's."""
        same = [name for name, value in values.items() if value is self.value]
        text = self.reason.format(name=same[0] if len(same) == 1 else "name")
        return f"{text} (null here: {', '.join(same)})" if self.value is None and same else text


def printed(value: Any) -> Any:
    """Return the value if it may be printed. Raises Unprintable."""
    from jinja2 import Undefined

    if isinstance(value, str | bool | int | float | Undefined) or _is_written(value):
        return value
    if value is None:
        raise Unprintable(
            value, "it prints a null; write {{{{ {name} or '' }}}} if that is intended"
        )
    if isinstance(value, bytes):
        raise Unprintable(value, "it prints binary data")
    if isinstance(value, Mapping):
        raise Unprintable(
            value,
            "it prints an object as Python writes it; write {{{{ {name}.member }}}}, or "
            "{{{{ {name} | tojson }}}} for JSON",
        )
    if callable(value):  # {{ item.items }}
        raise Unprintable(value, "it prints a function; a member of that name is item['name']")
    kind = type(value).__name__
    if hasattr(value, "__iter__"):
        raise Unprintable(
            value,
            f"it prints a {kind} as Python writes it; "
            "write {{{{ {name} | join(', ') }}}}, or {{{{ {name} | tojson }}}} for JSON",
        )
    raise Unprintable(value, f"it prints a {kind}, which is neither text nor a number")


def _is_written(value: Any) -> bool:
    """Return whether it is another value that Python's str writes as people do."""
    from datetime import date, time, timedelta
    from decimal import Decimal
    from uuid import UUID

    return isinstance(value, date | time | timedelta | Decimal | UUID)


def checked_environment() -> "jinja2.Environment":
    """Return a sandbox whose templates print only what may be printed."""
    from jinja2 import StrictUndefined, nodes

    class Checked(sandbox()):
        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            if operator == "%" and isinstance(left, str):  # "%s" % value
                _check_each(right if isinstance(right, tuple) else (right,))
            return super().call_binop(context, operator, left, right)

        def _generate(self, source: "nodes.Template", *args: Any, **kwargs: Any) -> str:
            for node in [*source.find_all((nodes.Concat, nodes.Call))]:
                if isinstance(node, nodes.Concat):
                    node.nodes = [_checked(part) for part in node.nodes]
                elif _is_format(node.node):
                    node.args = [_checked(part) for part in node.args]
                    for keyword in node.kwargs:
                        keyword.value = _checked(keyword.value)
            return super()._generate(source, *args, **kwargs)

    environment = Checked(
        undefined=StrictUndefined, finalize=printed, trim_blocks=True, lstrip_blocks=True
    )
    filters = environment.filters
    filters |= {name: _text_filter(filters[name]) for name in TEXT_FILTERS if name in filters}
    filters |= {"join": _join(), "format": _format, "tojson": to_json, CHECK: printed}
    return environment


def to_json(value: Any, indent: int | None = None) -> str:
    """Return a value as JSON; <, > and & are not escaped."""
    check_indent(indent)
    return json.dumps(value, ensure_ascii=False, indent=indent)


def printed_names(tree: "nodes.Template") -> frozenset[str]:
    """Return the columns a template prints unchanged: `{{ name }}`, or joined by `~`."""
    from jinja2 import nodes

    own = {name.name for name in tree.find_all(nodes.Name) if name.ctx != "load"}
    found: list[Any] = [part for output in tree.find_all(nodes.Output) for part in output.nodes]
    found += [part for joined in tree.find_all(nodes.Concat) for part in joined.nodes]
    return frozenset(part.name for part in found if isinstance(part, nodes.Name)) - own


def _checked(node: "nodes.Expr") -> "nodes.Expr":
    from jinja2 import nodes

    return nodes.Filter(node, CHECK, [], [], None, None, lineno=node.lineno)


def _is_format(node: "nodes.Expr") -> bool:
    from jinja2 import nodes

    names = ("format", "format_map")
    if isinstance(node, nodes.Getattr):
        return node.attr in names
    is_item = isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const)
    return is_item and node.arg.value in names


def _check_each(values: Any) -> None:
    for value in values:
        for member in value.values() if isinstance(value, Mapping) else (value,):
            printed(member)


def _text_filter(plain: Callable[..., str]) -> Callable[..., str]:
    """Return the filter, refusing values and arguments that may not be printed."""
    place = 1 if hasattr(plain, "jinja_pass_arg") else 0

    @wraps(plain)
    def checked(*args: Any, **kwargs: Any) -> str:
        printed(args[place])
        for argument in (*args[place + 1 :], *kwargs.values()):
            if argument is not None:
                printed(argument)
        return plain(*args, **kwargs)

    return checked


def _format(value: Any, *args: Any, **kwargs: Any) -> str:
    """Jinja's `format`, for values that may be printed."""
    _check_each((value, *args, *kwargs.values()))
    check_format(str(value), *args, *kwargs.values())
    return str(value) % (kwargs or args)


def _join() -> Any:
    from jinja2 import pass_context

    @pass_context
    def join(context: Any, value: Any, d: str = "", attribute: Any = None) -> str:
        """Jinja's `join`, for values that may be printed."""
        if attribute is not None:
            members = {"attribute": attribute}
            value = context.environment.call_filter("map", value, None, members, context)
        glue, members = str(printed(d)), [str(printed(member)) for member in value]
        check_join(glue, members)
        return glue.join(members)

    return join

"""The Jinja sandbox for all templates of users and models, with size limits.

Limits what one step of a template may produce, for steps that run in one C call and that no timer
can end: `*`, `**`, filters and methods that widen or repeat text, and the final text. time_limit
ends templates that take many steps. Guarantees that templates within the limits render as in
Jinja's own sandbox. Must not know about rows.
"""

import re
from collections.abc import Callable, Iterable
from functools import cache, wraps
from types import BuiltinMethodType, FunctionType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2
    from jinja2 import nodes

MAX_CHARS = 32 << 20  # of a text, or members of a list, that one step makes
MAX_BITS = 1 << 14  # of an integer; Python prints at most 4,300 digits
MAX_NUMBER = 100_000  # a width, a precision, a count
MAX_NODES = 1 << 20  # values within one that is written as JSON
CHECKED_JSON = "checked_json"  # replaces the filter tojson where a value may expand greatly
OF_JINJA = ("_loop_vars", "_block_vars")
WIDTH = re.compile(r"\d{6}")


class TooLarge(ValueError):
    """A step of a template would make more text than any prompt has."""


@cache
def sandbox() -> "type[jinja2.Environment]":
    """Return the class of sandboxed environments."""
    from jinja2 import nodes
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Bounded(ImmutableSandboxedEnvironment):
        intercepted_binops = frozenset(("*", "**", "%"))
        concat = staticmethod(_joined)

        def __init__(self, **options: Any):
            super().__init__(**options)
            for name, check in _FILTERS.items():
                self.filters[name] = _checked(self.filters[name], check)
            self.filters["join"] = _join(self.filters["join"])
            self.filters[CHECKED_JSON] = self._checked_json

        def _checked_json(self, value: Any, *args: Any, **kwargs: Any) -> str:
            _check_nodes(value)
            return self.filters["tojson"](value, *args, **kwargs)

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            _BINOPS[operator](left, right)
            return super().call_binop(context, operator, left, right)

        def call(self, context: Any, function: Any, /, *args: Any, **kwargs: Any) -> Any:
            if type(function) is BuiltinMethodType and (check := _METHODS.get(function.__name__)):
                if check is check_join and args:  # a generator can be read only once
                    args = (_listed(args[0]), *args[1:])
                check(function.__self__, *args, **_named(kwargs))
            elif type(function) is FunctionType and hasattr(function, "__wrapped__"):
                _check_wrapped(function.__wrapped__, args, _named(kwargs))
            return super().call(context, function, *args, **kwargs)

        def _generate(self, source: "nodes.Template", *args: Any, **kwargs: Any) -> str:
            if _makes_nested(source):
                for node in source.find_all(nodes.Filter):
                    node.name = CHECKED_JSON if node.name == "tojson" else node.name
            return super()._generate(source, *args, **kwargs)

    return Bounded


def _named(given: dict[str, Any]) -> dict[str, Any]:
    """Return keywords without Jinja's own, which every call within a loop has."""
    return {name: value for name, value in given.items() if name not in OF_JINJA}


def _joined(parts: Iterable[str]) -> str:
    """Jinja's concat, with a limit."""
    found = list(parts)
    if (num_chars := sum(map(len, found))) > MAX_CHARS:
        _refuse(num_chars)
    return "".join(found)


def _refuse(size: int, what: str = "characters") -> None:
    raise TooLarge(f"it makes a text or list of {size:,} {what}, more than any prompt has")


def _check_size(size: Any, what: str = "characters") -> None:
    if isinstance(size, int | float) and size > MAX_CHARS:
        _refuse(int(size) if size < 1e300 else MAX_CHARS + 1, what)


def _check_number(value: Any) -> None:
    if isinstance(value, int | float) and abs(value) > MAX_NUMBER:
        shown = f"{value:,}" if isinstance(value, float) or value.bit_length() < 99 else "a number"
        raise TooLarge(f"it has {shown} for a width or count, more than any prompt needs")


def _checked(plain: Callable[..., Any], check: Callable[..., None]) -> Callable[..., Any]:
    """Wrap a filter so that `check` sees its value and arguments first."""
    place = 1 if hasattr(plain, "jinja_pass_arg") else 0

    @wraps(plain)
    def bounded(*args: Any, **kwargs: Any) -> Any:
        check(*args[place:], **kwargs)
        return plain(*args, **kwargs)

    return bounded


def _check_product(left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int):
        if left.bit_length() + right.bit_length() > MAX_BITS:
            _refuse_integer()
    elif isinstance(right, int) and hasattr(left, "__len__"):
        _check_size(len(left) * right)
    elif isinstance(left, int) and hasattr(right, "__len__"):
        _check_size(len(right) * left)


def _check_power(left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int) and right > 0:
        if left.bit_length() > 1 and left.bit_length() * right > MAX_BITS:
            _refuse_integer()


def _refuse_integer() -> None:
    raise TooLarge("it makes an integer of thousands of digits")


def _check_percent(left: Any, right: Any) -> None:
    if isinstance(left, str | bytes):
        values = right if isinstance(right, tuple) else (right,)
        if isinstance(right, dict):
            values = tuple(right.values())
        check_format(left if isinstance(left, str) else left.decode("latin1"), *values)


def check_format(text: str, *values: Any, sign: str = "%", **named: Any) -> None:
    """Check a format text: its widths, which the text or the values set, and its size."""
    if WIDTH.search(text):
        raise TooLarge("it formats with a width of six digits or more")
    longest = 0
    for value in (*values, *named.values()):
        if isinstance(value, str | bytes | list | tuple | dict):
            longest = max(longest, len(value))
            if sign == "{" and isinstance(value, str) and WIDTH.search(value) and "{" in text[1:]:
                _check_nested(text)
        elif isinstance(value, int) and abs(value) > MAX_NUMBER:
            _check_nested(text) if sign == "{" else "*" in text and _check_number(value)
    _check_size(len(text) + text.count(sign) * max(longest, 20))


def _check_nested(text: str) -> None:
    """Refuse a width that is itself a placeholder: '{:>{}}'."""
    if re.search(r"\{[^{}]*:[^{}]*\{", text):
        raise TooLarge("it formats with a width of six digits or more")


_BINOPS = {"*": _check_product, "**": _check_power, "%": _check_percent}


# Filters and methods. Each check takes the arguments of its filter.


def _check_width(text: Any, width: Any = 0, *rest: Any, **named: Any) -> None:
    for value in (width, *rest, *named.values()):
        _check_number(value)


def _check_indent(text: Any, width: Any = 4, *rest: Any, **named: Any) -> None:
    width = named.get("width", width)
    _check_number(width)
    num_lines = str(text).count("\n") + 1 if isinstance(text, str) else 1
    _check_size(num_lines * (len(width) if isinstance(width, str) else int(width or 0)))


def _check_wrap(text: Any, *rest: Any, **named: Any) -> None:
    _check_width(text, *rest, **named)
    for value in (*rest, *named.values()):
        if isinstance(value, str) and isinstance(text, str):
            _check_size(len(text) * len(value))


def _check_replace(text: Any, old: Any = "", new: Any = "", *rest: Any, **named: Any) -> None:
    old, new = named.get("old", old), named.get("new", new)
    if all(isinstance(part, str | bytes) for part in (text, old, new)) and len(new) > len(old):
        try:
            _check_size(len(text) + text.count(old) * len(new))
        except TypeError:  # bytes mixed with text, which the method itself refuses
            return


def _check_tabs(text: Any, tabsize: Any = 8, **named: Any) -> None:
    tabsize = named.get("tabsize", tabsize)
    _check_number(tabsize)
    tab = "\t" if isinstance(text, str) else b"\t"
    _check_size(len(text) + text.count(tab) * (tabsize if isinstance(tabsize, int) else 8))


def check_join(glue: str | bytes, parts: Any) -> None:
    """Check a list to be joined by `glue`."""
    sizes = (len(part) for part in parts if isinstance(part, str | bytes))
    _check_size(sum(sizes) + len(glue) * len(parts))


def _listed(parts: Any) -> Any:
    """Return a generator's items as a list, and any other value as it is."""
    return list(parts) if hasattr(parts, "__next__") else parts


def _join(plain: Callable[..., str]) -> Callable[..., str]:
    """Wrap Jinja's filter join."""

    @wraps(plain)
    def join(context: Any, value: Any, d: str = "", attribute: Any = None) -> str:
        value = _listed(value)
        if attribute is None and hasattr(value, "__len__"):
            check_join(str(d), value)
        return plain(context, value, d, attribute)

    return join


def _check_sum(values: Any, *rest: Any, **named: Any) -> None:
    start = named.get("start", rest[1] if len(rest) > 1 else 0)
    if not isinstance(start, int | float):
        raise TooLarge("it adds up lists, which copies all of them each time; write a loop")


def _check_count(values: Any, *rest: Any, **named: Any) -> None:
    for value in (*rest[:1], named.get("linecount"), named.get("slices"), named.get("precision")):
        _check_number(value)


def check_indent(indent: Any) -> None:
    """Check the indent of JSON."""
    _check_number(len(indent) if isinstance(indent, str) else indent)


def _makes_nested(tree: "nodes.Template") -> bool:
    """Whether a template can build nested lists: {% set x = [x, x] %}. Few do."""
    from jinja2 import nodes

    kinds = nodes.List, nodes.Dict, nodes.Tuple, nodes.Filter, nodes.Name
    for node in tree.find_all(kinds):
        if isinstance(node, nodes.Filter):
            found = node.name in ("batch", "slice", "groupby", "dictsort", "items")
        elif isinstance(node, nodes.Name):
            found = node.name in ("dict", "varargs", "kwargs")
        else:
            found = any(not isinstance(member, nodes.Const) for member in _members(node))
        if found:
            return True
    return False


def _members(node: Any) -> list[Any]:
    from jinja2 import nodes

    if isinstance(node, nodes.Tuple) and node.ctx != "load":
        return []
    return [pair.value for pair in node.items] if isinstance(node, nodes.Dict) else node.items


def _check_nodes(value: Any) -> None:
    """Refuse a value that contains another many times: JSON would write each out."""
    left, waiting = MAX_NODES, [value]
    while waiting:
        found = waiting.pop()
        if not isinstance(found, dict | list | tuple):
            continue
        left -= len(found)
        if left < 0:
            _refuse(MAX_NODES, "values or more")
        waiting += found.values() if isinstance(found, dict) else found


def _check_wrapped(method: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Check str.format and str.format_map, which the sandbox wraps."""
    if type(method) is not BuiltinMethodType or not isinstance(method.__self__, str):
        return
    values = [*args, *kwargs.values()]
    if method.__name__ == "format_map" and args and isinstance(args[0], dict):
        values += args[0].values()
    check_format(method.__self__, *values, sign="{")


_FILTERS: dict[str, Callable[..., None]] = {
    "center": _check_width, "truncate": _check_width, "indent": _check_indent,
    "wordwrap": _check_wrap, "replace": _check_replace,
    "format": check_format, "batch": _check_count, "slice": _check_count, "round": _check_count,
    "sum": _check_sum,
}  # fmt: skip
_METHODS: dict[str, Callable[..., None]] = {
    "center": _check_width, "ljust": _check_width, "rjust": _check_width, "zfill": _check_width,
    "to_bytes": _check_width, "replace": _check_replace, "expandtabs": _check_tabs,
    "join": check_join,
}  # fmt: skip

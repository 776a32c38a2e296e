"""Read untrusted YAML as plain values, and write YAML that is read back exactly.

Guarantees a one-line ValueError for a text that refers to itself, grows without bound, has
duplicate keys or holds values that are not plain, before any value is built. Must not know about
the settings.
"""

from contextlib import suppress
from typing import Any

PLAIN_TAGS = ("str", "int", "float", "bool", "null", "map", "seq", "merge")
MAX_DEPTH = 50
MAX_GROWTH = 10_000  # values that aliases may add to those written
MAX_BYTES = 8 * 2**20  # takes about a minute to read
MAX_DIGITS = 40
ODD_BREAKS = frozenset("\r\x85\u2028\u2029")


class NoSettings(ValueError):
    """Valid YAML that can't be settings."""


def read_yaml(text: str) -> Any:
    """Return the plain values of a YAML text.

    Raises ValueError with a message to follow the file's name: `is not YAML, line 3: ...`.
    """
    import yaml
    from omegaconf._utils import get_yaml_loader  # as for presets: 1e-3 is a number

    if len(text) > MAX_BYTES:
        raise NoSettings(f"has more than {MAX_BYTES // 2**20} MiB, too much for settings")
    try:
        loader = _joining(get_yaml_loader())(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _Check().size_of(node, 0)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise ValueError(f"is not YAML{yaml_problem(error)}") from error
    except RecursionError:
        raise NoSettings(f"is nested more than {MAX_DEPTH} deep") from None
    except NoSettings:
        raise
    except ValueError as error:  # of a number, such as `!!int x`
        raise NoSettings(f"is not YAML of plain values: {error}") from error


def _joining(loader: type) -> type:
    """Extend a loader to read JSON's escaped surrogate pair (`\\ud835\\udcb3`) as one character."""

    class Joining(loader):
        def construct_scalar(self, node: Any) -> Any:
            value = super().construct_scalar(node)
            if isinstance(value, str) and any("\ud800" <= sign <= "\udbff" for sign in value):
                with suppress(UnicodeError):  # half a pair is refused where it is used
                    return value.encode("utf-16", "surrogatepass").decode("utf-16")
            return value

    return Joining


def to_yaml(plain: Any) -> str:
    """Return plain values as YAML that `read_yaml` reads back exactly."""
    import yaml
    from omegaconf._utils import get_omega_conf_dumper

    class Dumper(get_omega_conf_dumper()):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: Any, value: str) -> Any:
        if ODD_BREAKS & set(value):  # outside double quotes they are read as line breaks
            return dumper.represent_scalar("tag:yaml.org,2002:str", value, style='"')
        return dumper.str_representer(dumper, value)

    Dumper.add_representer(str, text)
    # Without a width, since folded lines lose spaces.
    return yaml.dump(
        plain,
        Dumper=Dumper,
        default_flow_style=False,
        allow_unicode=True,
        sort_keys=False,
        width=float("inf"),
    )


class _Check:
    """Visits each YAML node once, however often aliases refer to it."""

    def __init__(self) -> None:
        self._sizes: dict[int, int] = {}  # of a node written out, by its id
        self._above: set[int] = set()

    def size_of(self, node: Any, depth: int) -> int:
        """Count a node's values, aliases expanded. Raises NoSettings if it can't be settings."""
        if id(node) in self._above:
            raise _at(node, "it refers to itself (an alias within its own anchor)")
        if id(node) in self._sizes:
            return self._sizes[id(node)]
        tag = node.tag.removeprefix("tag:yaml.org,2002:")
        if tag not in PLAIN_TAGS:
            shown = f"!!{tag}" if tag != node.tag else tag
            raise _at(
                node, f"the tag {shown} is not a plain value; leave it out, or quote the text"
            )
        if depth > MAX_DEPTH:
            raise _at(node, f"it is nested more than {MAX_DEPTH} deep")
        size = 1
        if isinstance(node.value, list):
            self._above.add(id(node))
            members = node.value
            if tag == "map":
                self._check_names(node)
                members = [value for _, value in node.value]
            size += sum(self.size_of(member, depth + 1) for member in members)
            self._above.remove(id(node))
        elif tag == "int" and len(node.value) > MAX_DIGITS:
            raise _at(node, f"{node.value[:20]}... is too large a number; quote it if it is text")
        self._sizes[id(node)] = size
        if size > MAX_GROWTH + len(self._sizes):
            raise _at(node, f"its aliases expand to {size:,} values")
        return size

    def _check_names(self, node: Any) -> None:
        seen: set[str] = set()
        for name, _ in node.value:
            tag = name.tag.removeprefix("tag:yaml.org,2002:")
            if not isinstance(name.value, str) or tag not in ("str", "int", "merge"):
                shown = name.value if isinstance(name.value, str) else "a list or mapping"
                quoted = f"; if it is one, quote it: '{shown}'" if shown == name.value else ""
                raise _at(name, f"{shown} ({tag}) is not a setting's name{quoted}")
            if tag == "int" and len(name.value) > MAX_DIGITS:
                raise _at(name, f"{name.value[:20]}... is not a setting's name")
            if name.value in seen:
                where = f"is not YAML, line {name.start_mark.line + 1}"
                raise NoSettings(f"{where}: found duplicate key {name.value}; leave one out")
            seen.add(name.value)


def _at(node: Any, problem: str) -> NoSettings:
    return NoSettings(f"is not YAML of plain values, line {node.start_mark.line + 1}: {problem}")


def yaml_problem(error: Exception) -> str:
    """Return the line and problem of a YAML error, to follow `is not YAML`."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable"
    return (f", line {mark.line + 1}" if mark else "") + f": {problem}"

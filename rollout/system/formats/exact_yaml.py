"""Read YAML, or JSON, exactly, as exact_json reads JSON.

Guarantees a ValueError for a duplicate key, and for a number that a float would change.
"""

import json
from typing import Any

from rollout.system.formats import exact_json


def load(text: str) -> Any:
    """Return the value of a text. Raises yaml.YAMLError, ValueError, RecursionError."""
    import yaml

    try:  # first: YAML reads some numbers of JSON, such as 1e5, as text
        return exact_json.loads(text)
    except exact_json.Inexact as error:
        raise ValueError(f"its JSON {error}") from None
    except json.JSONDecodeError:
        pass

    class Exact(yaml.SafeLoader):
        """Refuses values that SafeLoader would change or drop."""

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            own = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
            exact_json.once([(self.construct_object(key, deep=True), None) for key in own])
            return super().construct_mapping(node, deep)

    def number(loader: Any, node: Any) -> float:
        value = loader.construct_yaml_float(node)
        if any(sign in node.value for sign in ":_nN"):  # base 60, .inf, .nan
            return value
        return exact_json.number_of(node.value)

    Exact.add_constructor("tag:yaml.org,2002:float", number)
    # lm-format-enforcer, which vLLM loads, makes SafeLoader read dates as text, process-wide.
    Exact.add_constructor("tag:yaml.org,2002:timestamp", Exact.construct_yaml_timestamp)
    try:
        return yaml.load(text, Exact)
    except exact_json.Inexact as error:
        raise ValueError(f"its YAML {error}") from None
    except TypeError as error:  # a list as a key
        raise ValueError(f"its YAML has a key that is not text: {error}") from None

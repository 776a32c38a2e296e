"""scorer=json_schema: 1 where the response parses as JSON and the schema allows it, else 0.

The format is what is judged here: a response that is no JSON is wrong, with what is wrong in
`score_errors`; only an empty one has no answer. NaN, a key given twice and text around the JSON
(but for a fence, which json_schema.fences allows) are no JSON.
"""

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from rollout.config.sections.postprocess import Postprocess
from rollout.errors import UserError
from rollout.postprocess.scoring.scorers import Mark, Response, Scorer, Unscorable, no_answer, told
from rollout.system.formats.exact_json import doubled

# A fence of at least three, indented or not, that the same or a longer one closes.
FENCED = re.compile(
    r"^[ \t]*(?P<fence>`{3,}|~{3,})[^`\n]*\n(?P<inside>.*?)^[ \t]*(?P=fence)[`~]*[ \t]*$",
    re.DOTALL | re.MULTILINE,
)
HOW = "type json_schema.schema=FILE.json, or json_schema.schema_key=COLUMN"


def columns(settings: Postprocess) -> dict[str, str]:
    """The schema's column, where one is named."""
    key = settings.json_schema.schema_key
    return {"json_schema.schema_key": key} if key else {}


def load(settings: Postprocess) -> Scorer:
    """Raises UserError where there is no schema, or the one given is none."""
    chosen = settings.json_schema
    if (chosen.schema is None) == (chosen.schema_key is None):
        raise UserError(f"scorer=json_schema needs one schema; {HOW}")
    fixed = None if chosen.schema is None else validator_of(given_schema(chosen.schema))

    @lru_cache(maxsize=256)
    def of_row(schema: str) -> Any:
        try:
            return validator_of(json.loads(schema))
        except (ValueError, RecursionError) as error:
            raise Unscorable(f"{chosen.schema_key} is no JSON schema: {error}") from error
        except UserError as error:
            reason = str(error).removeprefix("json_schema.schema is no JSON schema: ")
            reason = reason.removesuffix("; correct it")
            raise Unscorable(f"{chosen.schema_key} is no JSON schema: {reason}") from error

    def score(response: Response, row: dict[str, Any]) -> Mark:
        validator = fixed
        if validator is None:
            schema = row[chosen.schema_key]
            if schema is None:
                raise Unscorable(f"{chosen.schema_key} is null")
            validator = of_row(schema if isinstance(schema, str) else json.dumps(schema))
        if not response.text.strip():
            return no_answer()
        try:
            value = parsed(response.text, chosen.fences)
        except (ValueError, RecursionError) as error:
            if response.is_cut:
                return no_answer()
            return Mark(0.0, None, f"is no JSON: {error or 'it is nested too deeply'}")
        canonical = json.dumps(value, sort_keys=True, ensure_ascii=False)
        return _judged(validator, value, canonical, chosen.schema_key)

    return score


def _judged(validator: Any, value: Any, canonical: str, schema_key: str | None) -> Mark:
    """Right, or wrong with the place that the schema does not allow."""
    import referencing.exceptions
    from jsonschema.exceptions import best_match

    try:
        error = best_match(validator.iter_errors(value))
    except referencing.exceptions.Unresolvable as missing:
        where = schema_key or "json_schema.schema"
        raise Unscorable(
            f"{where} has a $ref to what is not in it, and nothing is fetched "
            f"(Unresolvable: {missing})"
        ) from missing
    if error is None:
        return Mark(1.0, canonical)
    place = "/".join(map(str, error.absolute_path)) or "its top"
    return Mark(0.0, canonical, f"the schema does not allow it, at {place}: {error.message[:200]}")


def given_schema(text: str) -> Any:
    """The schema typed, or that of the file named."""
    is_inline = text.lstrip().startswith("{")
    try:
        return json.loads(text if is_inline else Path(text).expanduser().read_text("utf-8"))
    except OSError as error:
        raise UserError(f"json_schema.schema={text}: {error.strerror}; {HOW}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"json_schema.schema={text[:80]} is no JSON: {error}; correct it"
        ) from error


def validator_of(schema: Any) -> Any:
    """What checks against the schema; it fetches nothing from a network."""
    import jsonschema
    import referencing

    try:
        kind = jsonschema.validators.validator_for(schema, jsonschema.Draft202012Validator)
        kind.check_schema(schema)
    except (TypeError, RecursionError) as error:  # a number, an unhashable $schema, too deep
        raise UserError(
            f"json_schema.schema is no JSON schema: {told(error)}; correct it"
        ) from error
    except jsonschema.SchemaError as error:
        place = "/".join(map(str, error.absolute_path)) or "its top"
        raise UserError(
            f"json_schema.schema is no JSON schema: at {place}: {error.message[:120]}; correct it"
        ) from error
    return kind(schema, registry=referencing.Registry())


def parsed(text: str, fences: bool) -> Any:
    """The response's JSON value: the whole text, or its last fenced block.

    Raises ValueError, which says what is wrong with the text, or with the block where there is one.
    """
    blocks = [found["inside"] for found in FENCED.finditer(text)] if fences else []
    try:
        return _value(text)
    except ValueError:
        if not blocks:
            raise
    return _value(blocks[-1])


def _value(text: str) -> Any:
    return json.loads(text.strip("\ufeff \t\r\n"), parse_constant=_refuse, object_pairs_hook=_once)


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if twice := doubled(pairs):
        raise ValueError(f"the key {twice[0]!r} stands twice in one object")
    return dict(pairs)

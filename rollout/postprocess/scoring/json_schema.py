"""scorer=json_schema: 1 if the response is JSON that the schema allows, else 0.

A response that is not JSON is wrong, with the reason in `score_errors`; only an empty one has no
answer. NaN, duplicate keys and text around the JSON are not JSON, except for a fence if
json_schema.fences allows it.
"""

import json
import re
from functools import lru_cache
from typing import Any

from rollout.config.sections.postprocess import Postprocess
from rollout.errors import UserError
from rollout.postprocess.scoring.scorers import (
    Mark,
    Response,
    Scorer,
    Unscorable,
    error_text,
    no_answer,
)
from rollout.system.disk import path_of
from rollout.system.formats.exact_json import duplicate_keys

# A fence of at least three characters, indented or not, closed by the same or a longer one.
FENCED = re.compile(
    r"^[ \t]*(?P<fence>`{3,}|~{3,})[^`\n]*\n(?P<inside>.*?)^[ \t]*(?P=fence)[`~]*[ \t]*$",
    re.DOTALL | re.MULTILINE,
)
HOW = "type json_schema.schema=FILE.json, or json_schema.schema_key=COLUMN"


def columns(settings: Postprocess) -> dict[str, str]:
    """Return the column with the schemas, if one is named."""
    key = settings.json_schema.schema_key
    return {"json_schema.schema_key": key} if key else {}


def load(settings: Postprocess) -> Scorer:
    """Return the scorer. Raises UserError if the schema is missing or invalid."""
    chosen = settings.json_schema
    if (chosen.schema is None) == (chosen.schema_key is None):
        raise UserError(f"scorer=json_schema needs one schema; {HOW}")
    fixed = None if chosen.schema is None else validator_of(given_schema(chosen.schema))

    @lru_cache(maxsize=256)
    def of_row(schema: str) -> Any:
        try:
            return validator_of(json.loads(schema))
        except (ValueError, RecursionError) as error:
            raise Unscorable(f"{chosen.schema_key} is not a JSON schema: {error}") from error
        except UserError as error:
            reason = str(error).replace("json_schema.schema", chosen.schema_key, 1)
            raise Unscorable(reason.removesuffix("; correct it")) from error

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
            return Mark(0.0, None, f"is not JSON: {error or 'it is nested too deeply'}")
        canonical = json.dumps(value, sort_keys=True, ensure_ascii=False)
        return _judged(validator, value, canonical, chosen.schema_key)

    return score


def _judged(validator: Any, value: Any, canonical: str, schema_key: str | None) -> Mark:
    """Return the mark of a JSON value: right, or wrong with the place that is not allowed."""
    import referencing.exceptions
    from jsonschema.exceptions import best_match

    try:
        error = best_match(validator.iter_errors(value))
    except referencing.exceptions.Unresolvable as missing:
        where = schema_key or "json_schema.schema"
        raise Unscorable(
            f"{where} has a $ref to something outside it, which is not fetched "
            f"(Unresolvable: {missing})"
        ) from missing
    if error is None:
        return Mark(1.0, canonical)
    return Mark(
        0.0, canonical, f"the schema does not allow it, {_place(error)}: {error.message[:200]}"
    )


def _place(error: Any) -> str:
    return f"at {'/'.join(map(str, error.absolute_path)) or 'its top'}"


def given_schema(text: str) -> Any:
    """Return the schema in the text, or in the file that it names."""
    is_inline = text.lstrip().startswith("{")
    try:
        return json.loads(text if is_inline else path_of(text).read_text("utf-8"))
    except OSError as error:
        raise UserError(f"json_schema.schema={text}: {error.strerror}; {HOW}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"json_schema.schema={text[:80]} is not JSON: {error}; correct it"
        ) from error


def validator_of(schema: Any) -> Any:
    """Return the schema's validator, which fetches nothing. Raises UserError if it is invalid."""
    import jsonschema
    import referencing

    try:
        kind = jsonschema.validators.validator_for(schema, jsonschema.Draft202012Validator)
        kind.check_schema(schema)
    except (TypeError, RecursionError) as error:  # a number, an unhashable $schema, too deep
        raise UserError(
            f"json_schema.schema is not a JSON schema: {error_text(error)}; correct it"
        ) from error
    except jsonschema.SchemaError as error:
        reason = f"{_place(error)}: {error.message[:120]}"
        raise UserError(f"json_schema.schema is not a JSON schema: {reason}; correct it") from error
    return kind(schema, registry=referencing.Registry())


def parsed(text: str, fences: bool) -> Any:
    """Return the JSON value of the response's text, or of its last fenced block.

    Raises ValueError about the block, or about the text if there is no block.
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
    if twice := duplicate_keys(pairs):
        raise ValueError(f"the key {twice[0]!r} appears twice in one object")
    return dict(pairs)

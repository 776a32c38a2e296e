"""scorer=json_schema: 1 where the response parses as JSON and the schema allows it, else 0."""

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from rollout.errors import UserError
from rollout.scoring.scorers import Mark, Response, Scorer, Unscorable
from rollout.scoring.settings import Postprocess

FENCED = re.compile(r"```[A-Za-z0-9]*[ \t]*\n(.*?)```", re.DOTALL)
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
        except (ValueError, UserError) as error:
            raise Unscorable(f"{chosen.schema_key} is no JSON schema: {error}") from error

    def score(response: Response, row: dict[str, Any]) -> Mark:
        text = response.text
        validator = fixed
        if validator is None:
            schema = row[chosen.schema_key]
            validator = of_row(schema if isinstance(schema, str) else json.dumps(schema))
        found = parsed(text, chosen.fences)
        if not found:
            return Mark(0.0)
        canonical = json.dumps(found[0], sort_keys=True, ensure_ascii=False)
        return Mark(float(validator.is_valid(found[0])), canonical)

    return score


def given_schema(text: str) -> Any:
    """The schema typed, or that of the file named."""
    is_inline = text.lstrip().startswith("{")
    try:
        return json.loads(text if is_inline else Path(text).expanduser().read_text("utf-8"))
    except OSError as error:
        raise UserError(f"json_schema.schema={text}: {error.strerror}; {HOW}") from error
    except ValueError as error:
        raise UserError(f"json_schema.schema={text[:80]} is no JSON: {error}; mend it") from error


def validator_of(schema: Any) -> Any:
    """What checks against the schema; it fetches nothing from a network."""
    import jsonschema
    import referencing

    kind = jsonschema.validators.validator_for(schema, jsonschema.Draft202012Validator)
    try:
        kind.check_schema(schema)
    except jsonschema.SchemaError as error:
        place = "/".join(map(str, error.absolute_path)) or "its top"
        raise UserError(
            f"json_schema.schema is no JSON schema: at {place}: {error.message[:120]}; mend it"
        ) from error
    return kind(schema, registry=referencing.Registry())


def parsed(text: str, fences: bool) -> list[Any]:
    """The response's JSON value in a list, or none: the whole text, or its last fenced block."""
    candidates = [text, *(FENCED.findall(text)[-1:] if fences else [])]
    for candidate in candidates:
        try:
            return [json.loads(candidate, parse_constant=_refuse)]
        except ValueError:
            continue
    return []


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")

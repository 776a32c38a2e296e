"""Read a tokenizer's files without transformers."""

import json
from pathlib import Path
from typing import Any


def check_kind(directory: Path, config: dict[str, Any], trust_remote_code: bool) -> None:
    """Raise NoTokenizer if vLLM uses another tokenizer than tokenizer.json."""
    mistral = [*directory.glob("tekken.json"), *directory.glob("tokenizer.model.v*")]
    if mistral and any(directory.glob("consolidated*.safetensors")):
        raise NoTokenizer(f"vLLM reads {mistral[0]} with Mistral's tokenizer")
    code = config.get("auto_map") or {}
    if trust_remote_code and (not isinstance(code, dict) or "AutoTokenizer" in code):
        raise NoTokenizer(f"{directory} has its own tokenizer code in Python")
    if not (directory / "tokenizer.json").is_file():
        raise NoTokenizer(f"{directory} has no tokenizer.json")


def read_json(file: Path) -> dict[str, Any]:
    """Return the JSON object in `file`; empty if there is no such file."""
    try:
        value = json.loads(file.read_bytes()) if file.is_file() else {}
    except (OSError, ValueError) as fault:
        raise NoTokenizer(f"{file} can't be read: {fault}") from fault
    if not isinstance(value, dict):
        raise NoTokenizer(f"{file} is not a JSON object")
    return value


def read_text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError) as fault:
        raise NoTokenizer(f"{file} can't be read: {fault}") from fault


class NoTokenizer(Exception):
    """This model's prompts can't be tokenized here; the message gives the reason in one line."""

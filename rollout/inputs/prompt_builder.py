"""Build a Prompt from a row, with data.template, data.system_prompt and data.tools.

Owns those three settings, given as text or file and read once. Guarantees: a setting that can't be
read is a UserError; a row that makes no valid prompt becomes a Prompt with the reason. Must not
know Arrow, files of rows or engines.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rollout.config.sections.data import Data, PromptFormat
from rollout.errors import UserError
from rollout.inputs.chat_template import read_text
from rollout.inputs.chats import content_of
from rollout.inputs.row_options import checked_tools, sampling_of, token_ids_of, tools_of
from rollout.inputs.row_template import RowTemplate, open_template
from rollout.rows.prompt import Prompt
from rollout.system.disk import path_of
from rollout.system.formats import exact_yaml

LIKE_A_PATH = re.compile(r"\S*(/\S*|\.(txt|md|jinja2?|j2|json|ya?ml|prompt))", re.I)


@dataclass(frozen=True, slots=True, eq=False)
class PromptBuilder:
    """The settings that turn rows into prompts. Made by `open_prompt_builder`."""

    data: Data
    template: RowTemplate | None = None
    system: str | None = None
    tools: list[dict[str, Any]] | None = None
    is_plain: bool = True  # the prompt is just the prompt column's text or messages

    @property
    def columns(self) -> list[str]:
        """The columns that a prompt needs, each once; those of its text come first."""
        data, named = self.data, [self.data.prompt_key]
        if self.template:  # in the order of their appearance
            named = sorted(self.template.names, key=lambda name: _place(name, self.template.source))
        more = [key for key in (data.tools_key, data.sampling_key) if key is not None]
        return list(dict.fromkeys([*named, *more]))

    def __str__(self) -> str:
        if self.template is None:
            return f"column {self.data.prompt_key!r}"
        return f"data.template over {', '.join(self.columns)}"

    def prompt_of(self, index: int, row: int, values: dict[str, Any]) -> Prompt:
        """Return the prompt made from these columns' values; with `error` if they are bad."""
        try:
            if self.is_plain:
                return Prompt(index, row, content_of(values[self.data.prompt_key], self.data))
            return self._built(index, row, values)
        except ValueError as error:
            return Prompt(index, row, None, str(error))

    def _built(self, index: int, row: int, values: dict[str, Any]) -> Prompt:
        data = self.data
        sampling = sampling_of(values[data.sampling_key]) if data.sampling_key else None
        if data.prompt_format is PromptFormat.tokens:
            token_ids = token_ids_of(values[data.prompt_key])
            return Prompt(index, row, None, token_ids=token_ids, sampling=sampling)
        if self.template:
            value = self.template.render({name: values[name] for name in self.template.names})
        else:
            value = values[data.prompt_key]
        content = content_of(value, data, self.system)
        own = tools_of(values[data.tools_key]) if data.tools_key else None
        tools = (self.tools if own is None else own) or None  # []: this row has none
        return Prompt(index, row, content, tools=tools, sampling=sampling)

    def fingerprint(self) -> dict[str, str]:
        """Return the texts of the three settings, whether typed or read from a file."""
        texts = {
            "data.template": self.template and self.template.source,
            "data.system_prompt": self.system,
            "data.tools": self.tools and json.dumps(self.tools, ensure_ascii=False),
        }
        return {key: _with_digest(text) for key, text in texts.items() if text is not None}


def open_prompt_builder(data: Data, start_dir: Path) -> PromptBuilder:
    """Read the settings; paths are relative to `start_dir`. Raises UserError."""
    template = system = tools = None
    if data.template is not None:
        template = open_template(
            _read("data.template", data.template, "{" in data.template, start_dir)
        )
    if data.system_prompt is not None:
        given = data.system_prompt
        is_text = not LIKE_A_PATH.fullmatch(given) and not _is_file(given, start_dir)
        system = _read("data.system_prompt", given, is_text, start_dir).rstrip("\n")
    if data.tools is not None:
        is_text = data.tools.lstrip()[:1] in ("[", "{") or "\n" in data.tools
        tools = _tools(_read("data.tools", data.tools, is_text, start_dir))
    options = data.template, data.system_prompt, data.tools, data.tools_key, data.sampling_key
    is_plain = not any(options) and data.prompt_format is not PromptFormat.tokens
    return PromptBuilder(data, template, system, tools, is_plain)


def _place(name: str, source: str) -> tuple[int, str]:
    found = re.search(rf"\b{re.escape(name)}\b", source)
    return (found.start() if found else len(source)), name


def _read(key: str, given: str, is_text: bool, start_dir: Path) -> str:
    """Return the text, or that of the file it names."""
    text = given
    if not is_text:
        text = read_text(key, given, start_dir, WANTED[key]).removeprefix("\ufeff")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UserError(f"{key} is not UTF-8 text; {WANTED[key]}") from None
    if not text.strip():
        raise UserError(f"{key}={given} is blank; {WANTED[key]}, or leave it out")
    return text


WANTED = {
    "data.template": "type a Jinja file, or text such as 'Q: {{ question }}'",
    "data.system_prompt": "type a file, or the text itself",
    "data.tools": "type a YAML or JSON file, or the list itself",
}


def _is_file(given: str, start_dir: Path) -> bool:
    try:
        return path_of(given, start_dir).is_file()
    except (OSError, UserError, ValueError):  # longer than a name may be, and so on
        return False


def _tools(text: str) -> list[dict[str, Any]]:
    import yaml

    try:
        return checked_tools(exact_yaml.load(text))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        lines = str(error).splitlines()
        raise UserError(f"data.tools: {lines[0]}; {WANTED['data.tools']}") from error


def _with_digest(text: str) -> str:
    """Return the text; a long one with a digest at the end, since messages shorten it."""
    if len(text) <= 60:
        return text
    return f"{text} (digest {hashlib.blake2b(text.encode(), digest_size=4).hexdigest()})"

"""Texts around a prompt: settings that are a text or a file, and few-shot examples.

Guarantees a UserError that names the setting, the file and the row. Must not know about the source.
"""

from contextlib import suppress
from pathlib import Path

from rollout.config.sections.data import Data
from rollout.config.sections.prepare import FileFormat, Prepare
from rollout.errors import UserError
from rollout.inputs.chats import content_of
from rollout.inputs.prompt_builder import LIKE_A_PATH
from rollout.inputs.row_template import RowTemplate, open_template
from rollout.prepare.sources.open import files_of, format_of
from rollout.prepare.sources.row_files import first_rows
from rollout.prepare.sources.source import Tally
from rollout.prepare.sources.tables import open_arrow_files, open_parquet_files
from rollout.system.disk import path_of

PLAIN = Data()  # prompts are read as in a run


def listed(names: list[str]) -> str:
    return ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")


def read_text(key: str, given: str, start_dir: Path, files: list[Path]) -> str:
    """Return the text of a setting, or of the file it names; append that file to `files`.

    Raises UserError if the file can't be read or the text is blank.
    """
    text, is_file = given, False
    path = path_of(given, start_dir)
    with suppress(OSError, ValueError):  # too long for a file name
        is_file = path.is_file()
    if is_file:
        try:
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise UserError(f"{key}={given} can't be read: {reason}") from error
        files.append(path)
    elif LIKE_A_PATH.fullmatch(given) and "{" not in given:
        raise UserError(f"{key}={given}: no such file; type a Jinja file, or the text itself")
    if not text.strip():
        raise UserError(f"{key}={given} is blank; type a text, or leave {key} out")
    return text


def examples_of(
    settings: Prepare,
    template: RowTemplate | None,
    column: str | None,
    start_dir: Path,
    files: list[Path],
    aliases: dict[str, str],
) -> list[tuple[str, str]]:
    """Return prompt and answer of each example; append the files that were read to `files`."""
    found = files_of(settings.few_shot, start_dir, FileFormat.auto)
    if not found:
        raise UserError(f"few_shot={settings.few_shot} does not exist; type a file of examples")
    path, count = found[0], settings.num_few_shot
    kind = format_of(path)
    if kind in (FileFormat.parquet, FileFormat.arrow):
        opened = open_parquet_files if kind is FileFormat.parquet else open_arrow_files
        rows = []
        for chunk in opened([path], Tally()).chunks():
            rows += chunk.rows(chunk.batch.schema.names)
            if count is not None and len(rows) >= count:
                break
    else:
        rows = first_rows(path, kind, count)
    rows = rows[:count]
    if count is not None and len(rows) < count:
        raise UserError(
            f"num_few_shot={count}, but {path} has only {len(rows)} rows; type "
            f"num_few_shot={len(rows)}"
        )
    files.append(path)
    answer = open_template(
        read_text("few_shot_answer", settings.few_shot_answer, start_dir, files), "few_shot_answer"
    )
    examples = []
    for number, row in enumerate(rows, 1):
        where = f"few_shot={settings.few_shot}, row {number}"
        row |= {new: row[old] for new, old in aliases.items() if old in row}
        needed = answer.names | (template.names if template else {column})
        if missing := sorted(needed - set(row)):
            raise UserError(f"{where} has no {missing[0]!r}, only {listed(list(row))}")
        try:
            prompt = content_of(row[column], PLAIN) if template is None else template.render(row)
            examples.append((prompt, answer.render(row)))
        except ValueError as error:
            raise UserError(f"{where}: {error}") from error
        if not isinstance(prompt, str):
            raise UserError(f"{where}: the prompt is not text")
    return examples

"""Read settings that are a text or the name of a file, such as model.chat_template."""

from pathlib import Path

from rollout.errors import UserError
from rollout.system.disk import path_of


def chat_template_text(given: str | None) -> str | None:
    """Return the template's text; None means the model's own.

    Raises UserError if `given` is neither a readable UTF-8 file nor template text.
    """
    if given is None or "{" in given:
        return given
    advice = "type a Jinja file, or the template itself"
    return read_text("model.chat_template", given, Path(), advice)


def read_text(setting: str, given: str, start_dir: Path, advice: str) -> str:
    """Return the text of the file `given`, relative to `start_dir`. Raises UserError."""
    try:
        return path_of(given, start_dir).read_text(encoding="utf-8")
    except (OSError, UserError, ValueError) as error:
        shown = given if len(given) <= 80 else f"{given[:80]}..."
        is_missing = isinstance(error, FileNotFoundError)
        why = "no such file" if is_missing else getattr(error, "strerror", None) or error
        raise UserError(f"{setting}={shown} can't be read: {why}; {advice}") from error

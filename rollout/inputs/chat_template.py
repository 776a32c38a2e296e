"""Read model.chat_template: a Jinja file, or the template itself."""

from pathlib import Path

from rollout.errors import UserError


def chat_template_text(given: str | None) -> str | None:
    """Return the template's text; None means the model's own.

    Raises UserError if `given` is neither a readable UTF-8 file nor template text.
    """
    if given is None or "{" in given:
        return given
    shown = given if len(given) <= 80 else f"{given[:80]}..."
    try:
        return Path(given).expanduser().read_text(encoding="utf-8")
    except FileNotFoundError:
        reason = "is neither a file nor template text"
    except (OSError, ValueError) as error:
        reason = f"can't be read: {getattr(error, 'strerror', None) or error}"
    raise UserError(f"model.chat_template={shown} {reason}")

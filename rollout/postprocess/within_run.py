"""Checks of a run's `postprocess` section before the run starts; messages use the run's keys."""

import re

from rollout.config.schema import keys_of
from rollout.config.sections.postprocess import Postprocess
from rollout.config.settings import Settings
from rollout.errors import UserError

CHECKED_AT_ONCE = ("exact", "choice", "regex", "json_schema", "code")  # import nothing heavy


def refuse_no_scorer(settings: Settings) -> None:
    """Raise UserError if the scorer's own settings can't be used; imports nothing heavy."""
    from rollout.postprocess.scoring.scorers import scorer_module

    wanted = settings.postprocess
    if wanted.scorer is None:
        return
    scorer = scorer_module(wanted)
    try:
        if wanted.scorer in CHECKED_AT_ONCE:
            scorer.load(wanted)
        elif hasattr(scorer, "check"):
            scorer.check(wanted)
    except UserError as error:
        raise UserError(with_long_keys(str(error.args[0]))) from error


def with_long_keys(message: str) -> str:
    """Return the message with the command's keys as a run spells them: postprocess.KEY."""
    names = list(keys_of(Postprocess))
    sections = {name.partition(".")[0] for name in names if "." in name}
    keys = [rf"{re.escape(name)}\b" if "." in name else f"{name}=" for name in names]
    keys += [rf"{section}\.\*" for section in sections]
    return re.sub(rf"(?<![\w./])(?:{'|'.join(keys)})", r"postprocess.\g<0>", message)

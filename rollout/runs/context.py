"""Whether the responses that sampling.max_tokens allows have room in the context.

vLLM ends a response at the end of the context without a word. A max_tokens that leaves no prompt
any room is refused before anything is loaded; planner/told.py says how many rows have less room.
"""

from rollout.config.sections.engine import Backend
from rollout.config.settings import Settings
from rollout.errors import UserError
from rollout.runs.fitting import size_of
from rollout.runs.job import Job
from rollout.store.run_dir import is_a_run


def refuse_no_room(job: Job) -> None:
    """Raise UserError where max_tokens was set and fills the whole context, if that is known.

    A run that began so goes on, and the default of max_tokens is no wish: there the note says it.
    """
    settings, limit = job.settings, job.settings.sampling.token_limit
    if limit is None or "sampling.max_tokens" not in settings.given or is_a_run(job.run_dir):
        return
    context = _context(job)
    if context is not None and limit >= context:
        raise UserError(
            f"sampling.max_tokens={limit} leaves no room for a prompt in the context of "
            f"{context:,} tokens ({_says_so(settings)}); type sampling.max_tokens=auto (as long "
            "as the context allows), or a smaller number"
        )


def _context(job: Job) -> int | None:
    """Tokens that prompt and response share, where they are known before loading."""
    engine = job.settings.engine
    if engine.backend is Backend.scripted:
        return None  # it writes what it is told, at most
    if engine.max_model_len is not None or "max_model_len" in engine.extra:
        return engine.max_model_len
    size = size_of(job)
    return size.context(engine) if size and size.shape.states_context else None


def _says_so(settings: Settings) -> str:
    return "the model's own" if settings.engine.max_model_len is None else "engine.max_model_len"

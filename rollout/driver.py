"""The driving loop: keep the engine full, hand finished rows out as they come.

The window counts *unfinished samples*, about twice what the engine decodes side by side:
counted in rows, a large n would drain the engine at the end of every row; counted in all that
was submitted, host memory would grow with the file. The loop knows no file and no clock.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rollout.engines.base import Engine
from rollout.errors import RequestRefused
from rollout.records import Request, Result

MAX_REFUSED_IN_A_ROW = 64  # so that a file full of bad rows is still written as it goes


@dataclass(slots=True)
class Tick:
    """One turn of the loop: what finished, and whether any request is left to submit."""

    finished: list[Result]
    source_dry: bool


def window_of(max_num_seqs: int) -> int:
    """Samples to keep unfinished: one full batch running and one waiting."""
    return 2 * max_num_seqs


def drive(engine: Engine, requests: Iterable[Request]) -> Iterator[Tick]:
    """Submit all `requests` to `engine`, never more than a window ahead; yield every turn.

    Each request's row is yielded exactly once: finished, or failed with its error. Rows come
    in the order they finish. Raises whatever the engine raises when it dies. The caller may
    stop at any turn; what is in flight is then left in the engine.
    """
    window = window_of(engine.facts.max_num_seqs)
    source = iter(requests)
    dry = False
    while True:
        failed: list[Result] = []
        while not dry and engine.num_unfinished < window and len(failed) < MAX_REFUSED_IN_A_ROW:
            request = next(source, None)
            if request is None:
                dry = True
            elif error := _submit(engine, request):
                prompt = request.prompt
                failed.append(Result(prompt.index, prompt.row, prompt.digest, error=error))
        if failed:
            yield Tick(failed, dry)
        if engine.num_unfinished:
            yield Tick(engine.step(), dry)
        elif dry:
            return


def _submit(engine: Engine, request: Request) -> str | None:
    """Submit, or say why this row can't be asked."""
    if request.prompt.error:
        return request.prompt.error
    try:
        engine.submit(request)
    except RequestRefused as refusal:
        return str(refusal)
    return None

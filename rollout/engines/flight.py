"""The rows in one engine: a bounded window of unfinished samples, and the rows that finish.

The window counts *unfinished samples*, about twice as many as the engine decodes concurrently.
A window of rows would drain the engine at the end of every row for large n; a window of all
submitted samples would let host memory grow with the file. Must not know about files or clocks.
"""

from dataclasses import dataclass, field

from rollout.engines.base import Engine
from rollout.errors import RequestRefused
from rollout.rows.owed import OwedRow
from rollout.rows.request import Completion, Request
from rollout.rows.result import Result

BUSY = 0.625  # of the window


@dataclass(slots=True)
class _Open:
    """A row in the engine: its unfinished requests, and the completions so far."""

    row: OwedRow
    left: list[Request] = field(default_factory=list)
    completions: list[Completion] = field(default_factory=list)
    error: str | None = None

    def refuse(self, request: Request, reason: str) -> None:
        """Note why a request was refused.

        A sample that can't be continued (no room left in the context) stays as it is.
        """
        if request.prefix is None:
            self.error = reason


class Flight:
    """The rows in one engine. After it died, `unfinished` lists the rows that were lost."""

    def __init__(self, engine: Engine):
        self._engine = engine
        self._window = window_of(engine.facts.max_num_seqs)
        self._open: dict[OwedRow, _Open] = {}
        self._row_of: dict[Request, OwedRow] = {}
        self.num_completions = 0

    @property
    def has_room(self) -> bool:
        return self._engine.num_unfinished < self._window

    @property
    def is_busy(self) -> bool:
        """Whether a full batch runs, and a quarter of one waits."""
        return self._engine.num_unfinished >= BUSY * self._window

    @property
    def load(self) -> float:
        """The share of the window that is taken."""
        return self._engine.num_unfinished / self._window

    @property
    def unfinished(self) -> list[OwedRow]:
        """Rows submitted but not finished, in submission order."""
        return [flying.row for flying in self._open.values()]

    def submit(self, row: OwedRow) -> Result | None:
        """Submit all owed requests of the row; return its result if there is nothing to wait for.

        Raises EngineError if the engine died; the row is among the unfinished then.
        """
        if row.prompt.error:
            return row.result([], row.prompt.error)
        flying = self._open[row] = _Open(row)
        for request in row.requests():
            try:
                self._engine.submit(request)
                flying.left.append(request)
                self._row_of[request] = row
            except RequestRefused as refusal:
                flying.refuse(request, str(refusal))
        return None if flying.left else self._close(flying)

    def step(self) -> list[Result]:
        """Advance the engine; return the rows whose last request finished."""
        finished = []
        for completion in self._engine.step():
            request = completion.request
            flying = self._open[self._row_of.pop(request)]
            if completion.error:
                flying.refuse(request, completion.error)
            else:
                flying.completions.append(completion)
                self.num_completions += 1
            flying.left.remove(request)
            if not flying.left:
                finished.append(self._close(flying))
        return finished

    def _close(self, flying: _Open) -> Result:
        del self._open[flying.row]
        return flying.row.result(flying.completions, flying.error)

    @property
    def is_empty(self) -> bool:
        return not self._open


def window_of(max_num_seqs: int) -> int:
    """Return how many samples to keep unfinished: one full batch running, one waiting."""
    return 2 * max_num_seqs

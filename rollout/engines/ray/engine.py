"""A replica as the driver sees it: an engine whose work is done by an actor elsewhere.

Two calls are always on their way to the actor while it has requests, so that it never waits for
the driver. Nothing here blocks, except asking for a sampler.
"""

import hashlib
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rollout.config.sections.model import Model
from rollout.config.sections.sampling import Sampling
from rollout.engines.base import GAUGES, EngineFacts, EnginePlan, EngineStats, Sampler, repeats
from rollout.errors import EngineError, RolloutError
from rollout.rows.request import Completion, Request
from rollout.system.version import VERSION

if TYPE_CHECKING:
    from rollout.engines.ray.actor import Report
    from rollout.engines.ray.place import Place

NUM_CALLS = 2  # on their way at the same time


class Keeper(Protocol):
    """What a replica needs of its host."""

    samplers: dict[str, Sampler]  # those that a replica made, by key

    def place(self, plan: EnginePlan) -> "Place": ...

    def leave(self, engine: "RayEngine", place: "Place") -> None: ...

    def has_arrived(self, answer: Any) -> bool: ...

    def get(self, answer: Any, place: "Place") -> Any: ...


class RayEngine:
    """The engine of one replica: placed, then loaded, then used."""

    def __init__(self, host: Keeper, plan: EnginePlan, environment: Mapping[str, str], group: str):
        self._host, self._plan, self._environment, self._group = host, plan, environment, group
        self._place: Place | None = host.place(plan)
        self._loading: Any = None  # the actor's answer to `load`
        self._calls: deque[Any] = deque()  # answers to `advance`, in order
        self._new: list[tuple[int, Request]] = []  # not sent yet
        self._requests: dict[int, Request] = {}  # unfinished ones
        self._next_number = 0
        self._stats = EngineStats()
        self._longest_slice = 0  # steps between two reports
        self._death: RolloutError | None = None
        self.num_unfinished = self.num_steps = 0
        self.facts: EngineFacts | None = None

    @property
    def awaited(self) -> list[Any]:
        """The answers it is waiting for."""
        return [self._loading] if self._loading is not None else list(self._calls)[:1]

    @property
    def is_placed(self) -> bool:
        return self._place is not None and self._place.actor is not None

    @property
    def node(self) -> str:
        return self._place.node if self._place else ""

    @property
    def is_up(self) -> bool:
        if self.facts is not None:
            return True
        if not self._place.is_ready:
            return False
        if self._loading is None:
            self._loading = self._place.actor.load.remote(
                self._plan, dict(self._environment), VERSION
            )
        if not self._host.has_arrived(self._loading):
            return False
        loading, self._loading = self._loading, None
        report = self._receive(loading, [])
        self.facts = replace(report.facts, where=self._place.name)
        return True

    def sampler(
        self, sampling: Sampling, model: Model, wants_logprobs: bool, adapter: Path | None = None
    ) -> Sampler:
        template = model.chat_template, model.chat_template_kwargs, model.reasoning_tags
        text = repr((self._group, sampling, template, wants_logprobs, adapter))
        key = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
        asked = self._place.actor.sampler.remote(key, sampling, model, wants_logprobs, adapter)
        if key not in self._host.samplers:
            answer = self._get(asked)
            if isinstance(answer, RolloutError):
                raise answer
            self._host.samplers[key] = answer
        return self._host.samplers[key]  # the same for all; an actor that can't make it says so

    def submit(self, request: Request) -> None:
        key = request.sampler.ready if request.sampler else None
        self._new.append((self._next_number, replace(request, sampler=key)))
        self._requests[self._next_number] = request
        self._next_number += 1
        self.num_unfinished += self._num_samples(request)

    @staticmethod
    def _num_samples(request: Request) -> int:
        return 1 if repeats(request) else request.n_samples

    def step(self) -> list[Completion]:
        finished: list[Completion] = []
        while self._calls and self._death is None and self._host.has_arrived(self._calls[0]):
            try:
                self._receive(self._calls.popleft(), finished)
            except RolloutError as death:
                self._death = death
        if self._death and not finished:
            raise self._death
        while self._requests and len(self._calls) < NUM_CALLS and not self._death:
            self._calls.append(self._place.actor.advance.remote(self._new))
            self._new = []
        return finished

    def _receive(self, answer: Any, finished: list[Completion]) -> "Report":
        """Take a report in; its completions go to `finished`. Raises its error."""
        report = self._get(answer)
        if report.log:
            with self._plan.log_file.open("ab") as log:
                log.write(report.log)
        self._longest_slice = max(self._longest_slice, report.num_steps - self.num_steps)
        self.num_steps, self._stats = report.num_steps, report.stats
        for number, completion in report.completions:
            completion.request = self._requests.pop(number)
            self.num_unfinished -= self._num_samples(completion.request)
            finished.append(completion)
        if error := report.error:
            log_file = str(self._plan.log_file)
            raise error.with_message(error.args[0].replace(report.log_file, log_file))
        return report

    def _get(self, answer: Any) -> Any:
        """Return what arrived. Raises EngineError if the actor died."""
        try:
            return self._host.get(answer, self._place)
        except EngineError:
            # It has not reported its last steps; how long it lived decides who is to blame.
            self.num_steps += self._longest_slice
            raise

    def stats(self) -> EngineStats:
        return self._stats

    def shutdown(self) -> None:
        place, self._place = self._place, None
        self._calls.clear()
        self._new, self._requests, self._loading = [], {}, None
        self.num_unfinished = 0
        self._stats = replace(self._stats, **dict.fromkeys(GAUGES, 0))
        if place:
            self._host.leave(self, place)

"""Advance several tasks in turn, in one thread: the groups of a sweep, each with its engines.

Must not know what the tasks do.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from rollout.errors import Interrupted
from rollout.system.garbage import rare_collections
from rollout.system.signals import StopRequest

Task = Iterator[bool]  # yields after every turn whether anything happened


def take_turns(
    tasks: Iterable[Task],
    stop: StopRequest,
    wait: Callable[[], None],
    num_at_once: Callable[[], int] = lambda: 1,
) -> None:
    """Advance the tasks until all are over, in turn; the next one begins when there is room.

    `wait` is called when none has anything to do. An error that a task raises ends the others, too,
    before it is raised here: with the same Interrupted, else a GeneratorExit. Signals are deferred:
    tasks call `stop.raise_if_requested` when they can stop.
    """
    waiting, begun = deque(tasks), list[Task]()
    with stop.deferred(), rare_collections():
        try:
            while waiting or begun:
                if waiting and len(begun) < max(num_at_once(), 1):
                    begun.append(waiting.popleft())
                has_moved = False
                for task in tuple(begun):
                    moved = next(task, None)
                    if moved is None:
                        begun.remove(task)
                    has_moved |= moved is not False
                if not has_moved:
                    wait()
        except BaseException as error:
            for task in begun:
                end(task, error)
            raise


def end(task: Task, error: BaseException) -> None:
    """End a task because of an error elsewhere, which is more than what it may raise in turn."""
    reason = error if isinstance(error, Interrupted) else GeneratorExit(str(error))
    with suppress(BaseException):
        task.throw(reason)

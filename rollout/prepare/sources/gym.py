"""source=reasoning_gym: generated problems, each with its own verifier.

A whole entry is kept as JSON text, which scorer=reasoning_gym reads. Guarantees a note for a task
whose verifier judges differently after JSON (tuples become lists, numeric keys become text).
"""

import itertools
import json
from collections.abc import Iterator
from typing import Any

from rollout.config.sections.prepare import Prepare
from rollout.errors import UserError, did_you_mean
from rollout.prepare.sources.source import Chunk, Source, Tally, first_line
from rollout.rows.gym_entry import entry_of, imports_quietly

NAME = "reasoning_gym"
ENTRY = "reasoning_gym_entry"
CHUNK_ENTRIES = 128  # some tasks are slow to generate


def open_gym(settings: Prepare, tally: Tally) -> Source:
    """Open the tasks as a source.

    Raises UserError if reasoning-gym is not installed, or for an unknown task or task setting.
    """
    import pyarrow as pa

    try:
        with imports_quietly():
            import reasoning_gym
            from reasoning_gym.factory import DATASETS
    except ImportError as error:
        raise UserError(
            f"source={NAME} needs a package that can't be imported: {error}; type pip install "
            "with the missing name"
        ) from error
    tasks = _tasks(settings, list(DATASETS))
    configs = _configs(settings.task_config, tasks)
    made = {task: _made(reasoning_gym, DATASETS, task, configs[task], settings) for task in tasks}
    notes = [note for task, data in made.items() if (note := _json_note(task, data))]
    tally.total_work += settings.size * len(tasks)
    names = ("question", "answer", "task", ENTRY)
    schema = pa.schema([(name, pa.string()) for name in names])

    def chunks() -> Iterator[Chunk]:
        for task, data in made.items():
            start, entries = 0, iter(range(settings.size))
            while numbers := list(itertools.islice(entries, CHUNK_ENTRIES)):
                rows = [_row(task, _entry(task, data, number)) for number in numbers]
                batch = pa.RecordBatch.from_pylist(rows, schema=schema)
                yield Chunk(batch, lambda i, task=task, start=start: f"{task}, entry {start + i}")
                start += len(numbers)
                tally.work += len(numbers)
                tally.tick()

    return Source(f"{NAME}: {', '.join(tasks)}", schema, chunks, [], "question", notes)


def _tasks(settings: Prepare, known: list[str]) -> list[str]:
    words = (settings.task or "").strip().removeprefix("[").removesuffix("]").split(",")
    tasks = list(dict.fromkeys(word.strip().strip("'\"") for word in words if word.strip()))
    if not tasks:
        raise UserError(
            f"source={NAME} has {len(known)} tasks; type task=NAME, such as task=leg_counting, or "
            f"several: task=[{known[0]},{known[1]}]"
        )
    for task in tasks:
        if task not in known:
            raise UserError(
                f"task={task}: reasoning-gym has no such task.{did_you_mean(task, known)} "
                f"Choose from {len(known)}: {', '.join(sorted(known)[:6])}, ..."
            )
    return tasks


def _configs(given: dict[str, Any], tasks: list[str]) -> dict[str, dict[str, Any]]:
    """Return each task's settings: the common ones, and those under the task's name."""
    common = {name: value for name, value in given.items() if name not in tasks}
    own = {task: given.get(task) or {} for task in tasks}
    if odd := [task for task, config in own.items() if not isinstance(config, dict)]:
        raise UserError(
            f"task_config.{odd[0]} holds a task's settings; type task_config.{odd[0]}.NAME=VALUE"
        )
    return {task: common | config for task, config in own.items()}


def _made(
    library: Any, known: dict[str, Any], task: str, config: dict[str, Any], settings: Prepare
) -> Any:
    """Create the task's dataset. Raises UserError for settings that it does not take."""
    from dataclasses import fields

    names = [f.name for f in fields(known[task][1]) if f.name not in ("seed", "size")]
    for name in config:
        if name in ("seed", "size"):
            raise UserError(
                f"task_config.{name} is the same for all tasks; type {name}={config[name]}"
            )
        if name not in names:
            raise UserError(
                f"task_config.{name}: task {task} has no such setting."
                f"{did_you_mean(name, names)} Choose from: {', '.join(names)}"
            )
    try:
        return library.create_dataset(task, seed=settings.seed, size=settings.size, **config)
    except Exception as error:  # an assertion in the task
        reason = first_line(error)[:300]
        raise UserError(
            f"task={task} rejects its settings: {reason}; change task_config"
        ) from error


def _entry(task: str, data: Any, number: int) -> dict[str, Any]:
    try:
        return data[number]
    except Exception as error:
        reason = f"{type(error).__name__}: {first_line(error)[:200]}"
        raise UserError(
            f"task={task} fails at entry {number}: {reason}; leave the task out, or change its "
            "task_config"
        ) from error


def _row(task: str, entry: dict[str, Any]) -> dict[str, Any]:
    answer = None if (given := entry.get("answer")) is None else str(given)
    question = str(entry["question"])
    return {"question": question, "answer": answer, "task": task, ENTRY: _json(task, entry)}


def _json(task: str, entry: dict[str, Any]) -> str:
    def plain(value: Any) -> Any:
        if isinstance(value, set | frozenset):
            return sorted(value)
        if hasattr(value, "tolist"):  # numpy's
            return value.tolist()
        if type(value).__str__ is not object.__str__:  # a date, a fraction, a formula
            return str(value)
        raise TypeError(f"a {type(value).__name__}")

    try:
        text = json.dumps(entry, ensure_ascii=False, default=plain)
        text.encode()
    except (TypeError, ValueError) as error:
        raise UserError(
            f"task={task}: its entries can't be kept as JSON ({error}); leave the task out"
        ) from error
    return text


def _json_note(task: str, data: Any) -> str | None:
    """Return a note if the verifier scores an entry differently after a round trip by JSON."""
    entry = _entry(task, data, 0)
    answer = entry.get("answer")
    if answer is None:
        return None
    try:
        before = data.score_answer(answer=answer, entry=entry)
    except Exception:  # the cause is not JSON
        return None
    try:
        after = data.score_answer(answer=answer, entry=entry_of(_json(task, entry), "entry"))
    except Exception as error:
        after = f"an error ({type(error).__name__})"
    if before == after:
        return None
    return (
        f"task {task}: its verifier scores the right answer {before}, but {after} after the entry "
        f"is kept as JSON, so scorer={NAME} will misjudge it; leave the task out"
    )

"""When a launch may not go on with the run in its directory, and why."""

from typing import Any

from rollout.config.schema import MAX_INT
from rollout.config.sections.data import OnError
from rollout.config.settings import keys
from rollout.errors import UserError
from rollout.runs.command import resume_command
from rollout.runs.job import Job
from rollout.runs.record import fingerprint_of
from rollout.runs.standing import Standing
from rollout.store.run_dir import made_with
from rollout.store.store import FORMAT, State

FROM_FILES = ("template", "system_prompt", "tools")
MANY_ROWS = 200_000  # to compare takes over a second
# May grow where truncated samples go on: key -> what it is called.
GROWING = ("sampling.max_tokens", "engine.max_model_len")


def start_over() -> str:
    return "type resume=fresh to move the old run aside and start over, or another run_dir="


def refuse_other_settings(job: Job, record: dict[str, Any]) -> None:
    """Raise UserError with a table where a setting that changes samples differs."""
    if record.get("format") != FORMAT:
        raise UserError(
            f"run_dir={job.run_dir} was written by another version of rollout "
            f"({record.get('rollout')}), whose files this one does not read; {start_over()}"
        )
    made = made_with(job.run_dir)
    was, now = made.get("fingerprint", {}), fingerprint_of(job)
    rows = differences(was, now, job.settings.continue_truncated)
    if not rows:
        return
    error = UserError(
        f"run_dir={job.run_dir} holds a run with other settings, so going on would mix two kinds "
        "of samples"
    )
    again = resume_command(made.get("argv"), job)
    error.details = table([("setting", "was", "now"), *rows])
    if not differences(was, now, continues=True):
        error.details.append(
            "continue_truncated=true lets sampling.max_tokens grow: only samples that were cut "
            "off go on."
        )
    error.details.append(
        f"To go on, type the old values ({again}); to start over, resume=fresh (the old run is "
        "moved aside, not deleted); to keep both, another run_dir=."
    )
    raise error


def differences(
    was: dict[str, Any], now: dict[str, Any], continues: bool
) -> list[tuple[str, str, str]]:
    """The keys that differ, with both values as text; what may change is left out."""
    digests = ("model.config_digest", "model.weights_digest", "model.tokenizer_digest")
    same_model = was.get(digests[1]) and all(was.get(d) == now.get(d) for d in digests)
    found = []
    declared = keys()
    for key in sorted(set(was) | set(now)):
        old, new = was.get(key), now.get(key)
        if key not in was and key in declared and new == declared[key].default:
            continue  # a setting that an older version did not have
        if old == new or key == "sampling.n_samples":  # samples are added, never taken away
            continue
        if key == "model.lora_path" and was.get("model.lora_digest") == now["model.lora_digest"]:
            continue
        if key == "model.model_path" and same_model:  # a directory that was moved
            continue
        if continues and key in GROWING and None not in (old, new) and _is_more(new, old):
            continue
        found.append((key, *(_shown(was, key), _shown(now, key))))
    return found


def _is_more(new: int | str, old: int | str) -> bool:
    """Whether a limit grew; auto is more than any number."""
    new, old = (MAX_INT if value == "auto" else value for value in (new, old))
    return isinstance(old, int) and new > old  # a record may have been edited


def _shown(values: dict[str, Any], key: str) -> str:
    if key not in values:
        return "(not set)"
    value = values[key]
    text = "null" if value is None else str(value).replace("\n", "\\n")
    return text if len(text) <= 60 else f"{text[:40]}...{text[-17:]}"


def table(rows: list[tuple[str, str, str]]) -> list[str]:
    """The rows as lines with aligned columns."""
    widths = [max(len(row[i]) for row in rows) for i in range(2)]
    return [f"  {a:<{widths[0]}}  {b:<{widths[1]}}  {c}" for a, b, c in rows]


def refuse_fewer_rows(job: Job, state: State, record: dict[str, Any]) -> None:
    if state.num_beyond:
        raise UserError(
            f"data.input={job.settings.data.input} now gives {job.prompts.num_rows:,} rows (the "
            f"run began with {record['input']['num_rows']:,}), and {state.num_beyond:,} finished "
            f"rows are not among them; give the whole input again (and data.limit= as it was), or "
            f"{start_over()}"
        )


def refuse_changed_rows(job: Job, state: State) -> None:
    """Raise UserError naming the first finished row whose prompt is not what it was."""
    for prompt in job.prompts.where(state.present):
        row, digest = state.identity(prompt.index)
        if prompt.row != row or prompt.digest != digest:
            what = "stands at another place" if prompt.row != row else "has another prompt now"
            raise UserError(
                f"row {row} of data.input={job.settings.data.input} {what} than when it was "
                "answered; rows may be added at the end, not changed, moved or taken away: give "
                f"the input as it was, or {start_over()}"
            )


def refuse_failed_rows(job: Job, standing: Standing) -> None:
    """data.on_error=fail holds for rows that failed in an earlier launch, too."""
    failed = (standing.state.failed & ~standing.owed).nonzero()[0]
    if len(failed) and job.settings.data.on_error is OnError.fail:
        raise UserError(
            f"row {int(standing.state.row[failed[0]])} failed in an earlier launch, and "
            "data.on_error=fail; type retry_failed=true to try it again, or data.on_error=record "
            "or skip"
        )

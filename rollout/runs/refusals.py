"""Refuse to resume a run whose settings or input have changed."""

from typing import Any

from rollout.config.schema import MAX_INT
from rollout.config.sections.data import OnError
from rollout.config.settings import keys
from rollout.errors import UserError
from rollout.runs.command import resume_command
from rollout.runs.job import Job
from rollout.runs.record import fingerprint_of
from rollout.runs.standing import Standing
from rollout.store.run_dir import settings_of_rows
from rollout.store.store import FORMAT, State

FROM_FILES = ("template", "system_prompt", "tools")
MANY_ROWS = 200_000  # take over a second to compare
GROWING = ("sampling.max_tokens", "engine.max_model_len")  # may grow with continue_truncated
START_OVER = "type resume=fresh to move the old run aside and start over, or another run_dir="


def refuse_other_settings(job: Job, record: dict[str, Any]) -> None:
    """Raise UserError with a table if a setting that changes samples differs."""
    if record.get("format") != FORMAT:
        raise UserError(
            f"run_dir={job.run_dir} was written by another version of rollout (its files have "
            f"format {record.get('format')}, this version reads format {FORMAT}); {START_OVER}"
        )
    made = settings_of_rows(job.run_dir)
    was, now = made.get("fingerprint", {}), fingerprint_of(job)
    rows = differences(was, now, job.settings.continue_truncated)
    if not rows:
        return
    error = UserError(
        f"run_dir={job.run_dir} holds a run with other settings, so resuming it would mix two "
        "kinds of samples"
    )
    again = resume_command(made.get("argv"), job)
    error.details = table([("setting", "was", "now"), *rows])
    if not differences(was, now, continues=True):
        error.details.append(
            "continue_truncated=true lets sampling.max_tokens grow: only samples that were cut "
            "off are continued."
        )
    error.details.append(
        f"To resume, type the old values ({again}); to start over, resume=fresh (the old run is "
        "moved aside, not deleted); to keep both, another run_dir=."
    )
    raise error


def differences(
    was: dict[str, Any], now: dict[str, Any], continues: bool
) -> list[tuple[str, str, str]]:
    """Return the keys that differ and may not, with both values as text."""
    digests = ("model.config_digest", "model.weights_digest", "model.tokenizer_digest")
    same_model = was.get(digests[1]) and all(was.get(d) == now.get(d) for d in digests)
    found = []
    declared = keys()
    for key in sorted(set(was) | set(now)):
        old, new = was.get(key), now.get(key)
        if key not in was and key in declared and new == declared[key].default:
            continue  # a setting that an older version did not have
        if old == new or key == "sampling.n_samples":  # samples can be added; see standing_of
            continue
        if key == "model.lora_path" and was.get("model.lora_digest") == now["model.lora_digest"]:
            continue
        if key == "model.model_path" and same_model:  # the directory was moved
            continue
        if continues and key in GROWING and None not in (old, new) and _is_more(new, old):
            continue
        found.append((key, *(_shown(was, key), _shown(now, key))))
    return found


def _is_more(new: int | str, old: int | str) -> bool:
    """Whether a limit grew; auto is more than any number."""
    new, old = (MAX_INT if value == "auto" else value for value in (new, old))
    return isinstance(old, int) and new > old  # not an int if the record was edited


def _shown(values: dict[str, Any], key: str) -> str:
    if key not in values:
        return "(not set)"
    value = values[key]
    text = "null" if value is None else str(value).replace("\n", "\\n")
    return text if len(text) <= 60 else f"{text[:40]}...{text[-17:]}"


def table(rows: list[tuple[str, str, str]]) -> list[str]:
    """Return the rows as lines with aligned columns."""
    widths = [max(len(row[i]) for row in rows) for i in range(2)]
    return [f"  {a:<{widths[0]}}  {b:<{widths[1]}}  {c}" for a, b, c in rows]


def refuse_fewer_rows(job: Job, state: State, record: dict[str, Any]) -> None:
    """Raise UserError if finished rows are no longer in the input."""
    if state.num_beyond:
        raise UserError(
            f"data.input={job.settings.data.input} now gives {job.prompts.num_rows:,} rows (it "
            f"gave {record['input']['num_rows']:,} before), and {state.num_beyond:,} finished "
            "rows are not among them; give the whole input again (and the old data.limit=), or "
            f"{START_OVER}"
        )


def refuse_changed_rows(job: Job, state: State) -> None:
    """Raise UserError for the first finished row whose prompt has changed."""
    for prompt in job.prompts.where(state.present):
        row, digest = state.identity(prompt.index)
        if prompt.row != row or prompt.digest != digest:
            what = "is in another place now" if prompt.row != row else "has another prompt now"
            raise UserError(
                f"row {row} of data.input={job.settings.data.input} {what} than when it was "
                "answered; rows may be added at the end, but not changed, moved or removed: "
                f"restore the input, or {START_OVER}"
            )


def refuse_failed_rows(job: Job, standing: Standing) -> None:
    """Raise UserError if data.on_error=fail and a row failed in an earlier launch."""
    failed = (standing.state.failed & ~standing.owed).nonzero()[0]
    if len(failed) and job.settings.data.on_error is OnError.fail:
        raise UserError(
            f"row {int(standing.state.row[failed[0]])} failed in an earlier launch, and "
            "data.on_error=fail; type retry_failed=true to try it again, or data.on_error=record "
            "or skip"
        )

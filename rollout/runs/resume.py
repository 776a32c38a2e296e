"""May this launch go on with the run in the directory, and what does it owe?

Owns the comparison of a launch with the run it finds: settings by the fingerprint, rows by
position and digest, samples by number. A run is refused with what differs and the ways out, or
gone on with; a row finished is never asked again, except for what was asked for by name
(sampling.n_samples raised, continue_truncated, retry_failed). Knows no engine.
"""

import contextlib
import os
import shlex
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rollout.config.fingerprint import redacted, to_plain, with_digests
from rollout.config.schema import MAX_INT
from rollout.config.sections.data import OnError
from rollout.config.settings import Settings, keys
from rollout.errors import UserError
from rollout.postprocess.scoring.checked_by import checked_by, scored_so
from rollout.rows.owed import KEPT_IF_CHOSEN, Wanted
from rollout.runs.job import Job, fingerprint_of
from rollout.runs.summary_record import summary_record
from rollout.runs.workflow import scoring_of
from rollout.store.counts import Totals
from rollout.store.ledger import path_in
from rollout.store.run_records import published_record
from rollout.store.store import FORMAT, State, Store, made_with
from rollout.system import contents
from rollout.system.console import Console

if TYPE_CHECKING:
    import numpy as np

FROM_FILES = ("template", "system_prompt", "tools")
MANY_ROWS = 200_000  # to compare takes over a second
# May grow where truncated samples go on: key -> what it is called.
GROWING = ("sampling.max_tokens", "engine.max_model_len")


@dataclass(slots=True)
class Standing:
    """How far a run is: what each row has, and which rows are owed something."""

    state: State
    owed: "np.ndarray"  # mask over the rows
    num_owed_samples: int = 0
    num_topped_up: int = 0
    num_continued: int = 0
    num_retried: int = 0
    num_given_up: int = 0  # failed rows that were tried data.max_attempts times
    num_left_cut: int = 0  # rows with samples cut off below max_tokens that stay so
    kept: list[str] = field(default_factory=list)  # of KEPT_IF_CHOSEN
    finished: Totals | None = None  # published, and nothing is owed

    @property
    def num_rows(self) -> int:
        return len(self.owed)

    @property
    def num_present(self) -> int:
        """Rows of which something is on disk, or that stand published."""
        return self.num_rows if self.finished else int(self.state.present.sum())

    @property
    def num_owed(self) -> int:
        return int(self.owed.sum())

    @property
    def samples_per_owed_row(self) -> float:
        return self.num_owed_samples / max(self.num_owed, 1)

    def __str__(self) -> str:
        if self.finished:
            return f"finished already: {self.num_rows:,} rows"
        also = [
            f"{count:,} {what}"
            for count, what in (
                (self.num_topped_up, "of them for more samples"),
                (self.num_continued, "of them to continue truncated samples"),
                (self.num_retried, "of them failed and are retried"),
            )
            if count
        ]
        done = self.num_rows - self.num_owed
        if not self.num_owed:
            also.append("to be published")
        return f"{done:,} of {self.num_rows:,} rows done, {self.num_owed:,} owed" + "".join(
            f", {text}" for text in also
        )


def begin(job: Job) -> Standing:
    """The standing of a run that has nothing yet."""
    import numpy as np

    num_rows = job.prompts.num_rows
    kept = [c.name for c in job.columns if c.name in KEPT_IF_CHOSEN]
    num_samples = num_rows * job.settings.sampling.n_samples
    return Standing(State(num_rows), np.ones(num_rows, bool), num_samples, kept=kept)


def go_on(job: Job, store: Store, record: dict[str, Any], console: Console) -> Standing:
    """What this launch owes the run that `record` (its run.json) began.

    Raises UserError where it can't go on with it.
    """
    settings = job.settings
    refuse_other_settings(job, record)
    kept = record.get("kept", [])
    for column in job.columns:
        if column.name in KEPT_IF_CHOSEN and column.name not in kept:
            raise UserError(
                f"output.columns={column.name}: the first launch of this run did not ask for it, "
                f"so it was not kept; leave it out, or {start_over()}"
            )
    if not store.shards.found() and (standing := _without_shards(job, kept)):
        return standing
    state = store.state()
    refuse_fewer_rows(job, state, record)
    num_found = int(state.present.sum())
    slow = console.waiting(f"comparing {num_found:,} finished rows with the input")
    with slow if num_found >= MANY_ROWS else contextlib.nullcontext():
        refuse_changed_rows(job, state)
    standing = standing_of(state, settings, kept)
    refuse_failed_rows(job, standing)
    summary = summary_record(job.run_dir)
    if summary and standing.num_owed == 0 and is_published(job):
        standing.finished = Totals.known(summary)
    return standing


def standing_of(state: State, settings: Settings, kept: list[str]) -> Standing:
    """Which rows are owed what."""
    n, max_tokens = settings.sampling.n_samples, settings.sampling.token_limit or MAX_INT
    answered = state.present & ~state.failed
    if (too_many := int(state.num_samples.max(initial=0))) > n:
        raise UserError(
            f"sampling.n_samples={n} is less than the {too_many} samples that rows of this run "
            f"have already; type sampling.n_samples={too_many} or more, or another run_dir="
        )
    lacking = answered & (state.num_samples < n)
    cut = answered & (state.shortest_cut >= 0) & (state.shortest_cut < max_tokens)
    num_cut = int(cut.sum())
    cut &= settings.continue_truncated
    failed = state.present & state.failed & settings.retry_failed
    num_failed = int(failed.sum())
    failed &= state.num_attempts < settings.data.max_attempts
    owed = ~state.present | lacking | cut | failed
    return Standing(
        state,
        owed,
        int((n - state.num_samples[owed]).sum() + cut.sum()),
        num_topped_up=int(lacking.sum()),
        num_continued=int(cut.sum()),
        num_retried=int(failed.sum()),
        num_given_up=num_failed - int(failed.sum()),
        num_left_cut=num_cut - int(cut.sum()),
        kept=kept,
    )


def wanted_of(settings: Settings, kept: list[str], sampler: Any, run: int) -> Wanted:
    sampling = settings.sampling
    return Wanted(
        sampling.n_samples,
        sampling.seed,
        sampling.token_limit,
        settings.continue_truncated,
        frozenset(kept),
        sampler,
        run,
    )


def _without_shards(job: Job, kept: list[str]) -> Standing | None:
    """A finished run whose shards were deleted: it can be told, and nothing can be added.

    None where the directory is there and empty: its only shard was damaged and is made again, but
    never in place of what was published of it.
    """
    summary = summary_record(job.run_dir)
    was = made_with(job.run_dir).get("fingerprint", {})
    is_same = was.get("sampling.n_samples") == job.settings.sampling.n_samples
    is_same &= was.get("sampling.max_tokens") == job.settings.sampling.max_tokens
    if summary and is_same and is_published(job):
        if not (job.settings.retry_failed and summary["num_failed"]):
            standing = begin(job)
            standing.owed[:] = False
            standing.finished = Totals.known(summary)
            return standing
    stands = summary and job.writer.ledger.knows(job.output_path)  # others would take its place
    if (job.run_dir / "shards").is_dir() and not stands:
        return None
    raise UserError(
        f"run_dir={job.run_dir} is finished and its shards/ are gone, so nothing can be added or "
        f"published anew; {start_over()}; what is published can be scored by python -m "
        f"rollout.postprocess input={job.run_dir} scorer=... output.path=..."
    )


# What was published.


def publication(job: Job) -> dict[str, Any]:
    """What the published files are made by, beside the contents of files (see made_of)."""
    output, data = job.settings.output, to_plain(job.settings.data)
    # The rows selected count, not by which limit; how rows are tried again is no matter.
    # Texts that may be in files count by what they say.
    for name in ("input", "limit", "on_error", "max_attempts", *FROM_FILES):
        del data[name]
    return {
        "path": path_in(job.run_dir, job.output_path),
        "places": [
            [str(place.path), os.path.relpath(place.path, os.path.realpath(job.run_dir))]
            for place in job.places
        ],
        "columns": [c.name for c in job.columns],
        "prefix": output.prefix,
        "skips_failed": job.settings.data.on_error is OnError.skip,
        "layout": output.layout.value,
        "partition_rows": output.partition_rows,
        "num_rows": job.prompts.num_rows,
        "reasoning": _reasoning_of(job),
        **with_digests(
            {
                "data": data | job.prompts.wording.fingerprint(),
                "scoring": scored_so(scoring_of(job.settings)),
            }
        ),
    }


def made_of(job: Job) -> dict[str, Any]:
    """The contents of all files that go into the published ones, or that these are checked by."""
    made: dict[str, Any] = {"input": job.prompts.contents()}
    if (scoring := scoring_of(job.settings)) is not None:
        files, versions = checked_by(scoring)
        made["scored"] = path_in(job.run_dir, job.places.scoring.scored.path)
        made |= {"checked_by": contents.all_seen(files), "versions": versions}
    return made


def _reasoning_of(job: Job) -> list[str] | str | None:
    """What splits reasoning and answer: tags or a parser; None: they are not published."""
    settings = job.settings
    if not any(column.is_derived for column in job.columns):
        return None
    return settings.output.reasoning_parser or settings.model.reasoning_tags


def is_published(job: Job) -> bool:
    """Whether all that this launch would publish stands there, of what it would be made of.

    To the bit: settings, input, scorers, and every file that was written.
    """
    found, wanted = published_record(job.run_dir), publication(job)
    if not _are_same_places(wanted.pop("places"), found.get("places")):
        return False
    del wanted["path"]  # one of the places
    if any(found.get(key) != value for key, value in wanted.items()):
        return False
    if not contents.all_hold(job.prompts.files, found.get("input")):
        return False
    ledger, places = job.writer.ledger, job.places
    if not ledger.knows(job.run_dir / "summary.json"):  # its figures would be told
        return False
    if (scoring := scoring_of(job.settings)) is not None:
        files, versions = checked_by(scoring)
        is_checked_so = contents.all_hold(files, found.get("checked_by"))
        if not is_checked_so or found.get("versions") != versions:
            return False
    # Errors have a file only where there were any.
    optional = [places.scoring.errors] if places.scoring else []
    return all(
        ledger.knows(place.path) or (place in optional and not ledger.lists(place.path))
        for place in places
    )


def _are_same_places(wanted: list[list[str]], found: Any) -> bool:
    """Whether each file lies where it did, by its path or as seen from the run's directory.

    Outside of that a file may have moved along with it.
    """
    if not isinstance(found, list) or len(found) != len(wanted):
        return False
    pairs = zip(wanted, found, strict=True)
    return all(
        isinstance(there, list) and set(here) & set(map(str, there)) for here, there in pairs
    )


# Refusals.


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


def resume_command(argv: list[str] | None, job: Job) -> str:
    """The command that goes on with this run, secrets starred; for the Python API, in words."""
    if argv is None:
        return f"call it again with run_dir={str(job.run_dir)!r}"
    is_sweep = any(word in ("-m", "--multirun", "hydra.mode=MULTIRUN") for word in argv)
    return command_in(argv, job.run_dir.parent if is_sweep else job.run_dir)


def command_in(argv: list[str], directory: Path) -> str:
    """The command typed, going on in `directory`; secrets starred."""
    words = redacted(argv)
    places = ("run_dir=", "hydra.run.dir=", "hydra.sweep.dir=")
    if not any(word.startswith(places) for word in words):
        words = [*words, f"run_dir={directory}"]
    dropped = ("resume=fresh", "resume=never", "dry_run=true")
    return shlex.join(
        [python(), "-m", "rollout", *(w for w in words if w.lstrip("+") not in dropped)]
    )


def python() -> str:
    """What to type for this interpreter."""
    found = shutil.which("python")
    is_it = found and Path(found).absolute().parent == Path(sys.executable).absolute().parent
    return "python" if is_it else sys.executable or "python"

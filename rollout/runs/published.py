"""Whether what a run published is what it would publish now."""

import os
from typing import Any

from rollout.config.fingerprint import to_plain, with_digests
from rollout.config.sections.data import OnError
from rollout.postprocess.scoring.checked_by import checked_by, scored_so
from rollout.runs.job import Job
from rollout.runs.refusals import FROM_FILES
from rollout.runs.workflow import scoring_of
from rollout.store.ledger import path_in
from rollout.store.run_records import published_record
from rollout.system import contents


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

"""Check whether a run has already published what this launch would publish."""

from typing import Any

from rollout.config.fingerprint import to_plain, with_digests
from rollout.config.sections.data import OnError
from rollout.postprocess.scoring.provenance import files_and_versions, scoring_record
from rollout.runs.job import Job
from rollout.runs.refusals import FROM_FILES
from rollout.runs.workflow import scoring_of
from rollout.store.ledger import path_in, relative_to
from rollout.store.run_records import published_record
from rollout.system import file_contents
from rollout.system.storage.paths import real


def publication(job: Job) -> dict[str, Any]:
    """Return the settings that determine the published files (see file_contents for the rest)."""
    output, data = job.settings.output, to_plain(job.settings.data)
    # The rows selected count, not the limit that selects them; how rows are retried does not.
    # Texts that may be in files count by their content, see `fingerprint` below.
    for name in ("input", "limit", "on_error", "max_attempts", *FROM_FILES):
        del data[name]
    return {
        "path": path_in(job.run_dir, job.output_path),
        "places": [
            [str(place.path), relative_to(real(job.run_dir), place.path)] for place in job.places
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
                "data": data | job.prompts.builder.fingerprint(),
                "scoring": scoring_record(scoring_of(job.settings)),
            }
        ),
    }


def source_contents(job: Job) -> dict[str, Any]:
    """Return the contents of all files that the published ones are made from or checked by."""
    made: dict[str, Any] = {"input": job.prompts.contents()}
    if (scoring := scoring_of(job.settings)) is not None:
        files, versions = files_and_versions(scoring)
        made["scored"] = path_in(job.run_dir, job.places.scoring.scored.path)
        made |= {"checked_by": file_contents.observe_all(files), "versions": versions}
    return made


def _reasoning_of(job: Job) -> list[str] | str | None:
    """Return the tags or parser that split reasoning and answer; None if not published."""
    settings = job.settings
    if not any(column.is_derived for column in job.columns):
        return None
    return settings.output.reasoning_parser or settings.model.reasoning_tags


def is_published(job: Job) -> bool:
    """Whether everything that this launch would publish is there, unchanged to the bit.

    Compares settings, input, scorers, and every file that was written.
    """
    found, wanted = published_record(job.run_dir), publication(job)
    if not _are_same_places(wanted.pop("places"), found.get("places")):
        return False
    del wanted["path"]  # one of the places
    if any(found.get(key) != value for key, value in wanted.items()):
        return False
    if not file_contents.all_unchanged(job.prompts.files, found.get("input")):
        return False
    ledger, places = job.writer.ledger, job.places
    if not ledger.knows(job.run_dir / "summary.json"):  # edited figures must not be reported
        return False
    if (scoring := scoring_of(job.settings)) is not None:
        files, versions = files_and_versions(scoring)
        has_same_files = file_contents.all_unchanged(files, found.get("checked_by"))
        if not has_same_files or found.get("versions") != versions:
            return False
    # The file of errors exists only if there were any.
    optional = [places.scoring.errors] if places.scoring else []
    return all(
        ledger.knows(place.path) or (place in optional and not ledger.lists(place.path))
        for place in places
    )


def _are_same_places(wanted: list[list[str]], found: Any) -> bool:
    """Whether each file is where it was, by its path or relative to the run directory.

    A file outside the run directory may have moved together with it.
    """
    if not isinstance(found, list) or len(found) != len(wanted):
        return False
    pairs = zip(wanted, found, strict=True)
    return all(
        isinstance(there, list) and set(here) & set(map(str, there)) for here, there in pairs
    )

"""What the page of a file says of scores that no scoring of rollout wrote, and how to have some."""

import shlex
from pathlib import Path

from rollout.postprocess.scored_rows import scored_schema
from rollout.report.page import Block, Code, Note, Section
from rollout.report.published_rows import PublishedRows

NAMES = ("score", "scores", "reward", "rewards")
PREFIX = "rollout_"  # of the columns of a scoring, where the plain names are taken


def foreign_scores(path: Path, rows: PublishedRows) -> list[Section]:
    """Return a section on such columns of a file that is not scored; none without such a column."""
    found = [name for name in rows.source.schema.names if name.lower() in NAMES]
    if not found:
        return []
    listed = " and ".join(map(repr, found))
    column = f"Columns {listed} are" if len(found) > 1 else f"Column {listed} is"
    said = (
        f"{column} not shown: scores on a page are those of rollout.postprocess, which writes a "
        "list of verdicts beside them. "
    )
    if rows.columns.is_per_sample:
        said += "To have them, put the responses of a row into a list and score the file."
        return [Section("Scores", [Note(said)])]
    said += "To score the responses, by another scorer= if need be:"
    blocks: list[Block] = [Note(said), Code(_command(path, rows), "to score the file")]
    return [Section("Scores", blocks)]


def _command(path: Path, rows: PublishedRows) -> str:
    columns, schema = rows.columns, rows.source.schema
    words = [f"input={path}", "scorer=math", f"responses_key={columns.responses}"]
    words.append(f"answer_key={columns.answer or 'COLUMN'}")
    if columns.prompt is not None:
        words.append(f"prompt_key={columns.prompt}")
    if set(scored_schema(schema, "").names[len(schema) :]) & set(schema.names):
        words.append(f"prefix={PREFIX}")
    words.append(f"output.path={path.with_name(f'{path.stem}-scored.parquet')}")
    return shlex.join(["python", "-m", "rollout.postprocess", *words])

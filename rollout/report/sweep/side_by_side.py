"""The same prompts across points: each point's first responses, with how they were judged.

Owns which points and prompts are shown, and how much of their texts. Guarantees: the texts stay
within MAX_BYTES, and the note says what is left out. A point whose file can't be read is named.
"""

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rollout.report.page import Browser, PromptView, SampleView
from rollout.report.prompt_texts import Messages, utf8
from rollout.report.published import errors_fail_in, reasoning_tags_in
from rollout.report.row_views import PER_SAMPLE, SCORED, sample_view
from rollout.report.sweep.answers import AnsweredRow, answered_rows, schema_of
from rollout.report.sweep.points import Point, objective_of, scored_file
from rollout.report.sweep.same_rows import row_text, shared_columns
from rollout.system.disk import path_of, read_json
from rollout.system.terminal import counted

if TYPE_CHECKING:
    import pyarrow as pa

MAX_POINTS, MAX_PROMPTS, MAX_RESPONSES = 12, 50, 4
MAX_BYTES = 4_500_000  # of the texts, as they are written into the page
CUTS = (8000, 4000, 2000, 1000, 500, 250, 100)  # characters of a text, whichever fits
VALUES = ("error", "num_prompt_tokens")

OTHER_ROWS = (
    "The points have different rows in the same places, so prompts are numbered as they stand here."
)

Key = tuple[str, int]  # a row's text, see same_rows.py, and which of equal ones


@dataclass(frozen=True, slots=True)
class Shown:
    """A row of a point's file."""

    number: int
    messages: Messages
    samples: list[SampleView] | None
    error: str | None
    reference: str | None
    num_prompt_tokens: int | None
    has_more: bool  # responses than `samples`


def side_by_side(points: Sequence[Point], ranked: Sequence[Point]) -> Browser | None:
    """Return the first prompts with each point's responses; None if no point has any to show.

    The first MAX_POINTS points that are done, the best one always among them. Rows are matched by
    what their prompts are made from (same_rows.py), the k-th of equal ones with the k-th: points
    may leave different rows out, or read different files. A prompt is shown as the first point
    asked it; at a point that asked otherwise, its own is shown beside its responses.
    """
    done = [point for point in points if point.status == "done"]
    kept = done[:MAX_POINTS]
    if ranked and ranked[0] in done and ranked[0] not in kept:
        kept = [*kept[:-1], ranked[0]]
    read, unread = _read(kept)
    if not read:
        return None
    keys = _first_keys([rows for _, rows in read])
    prompts = [_prompt(key, [rows for _, rows in read]) for key in keys[:MAX_PROMPTS]]
    if has_other_rows := len({prompt.number for prompt in prompts}) < len(prompts):
        prompts = [replace(prompt, number=i) for i, prompt in enumerate(prompts)]
    num_rows = max(int(objective_of(p.figures, "num_rows") or 0) for p, _ in read)
    num_rows = max(num_rows, len(keys))
    shown, most = _cut_to_fit(prompts)
    notes = _omissions(shown, prompts, most, num_rows, [rows for _, rows in read])
    if (num_left_out := len(done) - len(kept)) > 0:
        verb = "is" if num_left_out == 1 else "are"
        notes.append(f"{counted(num_left_out, 'more point')} {verb} left out here.")
    if notes:
        notes.append("sweep.parquet has more.")
    if unread:
        notes.append(f"Not readable: {', '.join(point.name for point in unread)}.")
    if any(prompt.others for prompt in shown):
        notes.append(f"{read[0][0].name} asked as shown at the top, other points as shown there.")
    if has_other_rows:  # the points read different files
        notes.append(OTHER_ROWS)
    errors_fail = all(errors_fail_in(_scoring(point)) for point, _ in read)
    names = [point.name for point, _ in read]
    return Browser(shown, names, num_rows, " ".join(notes), errors_fail)


def _read(points: Sequence[Point]) -> tuple[list[tuple[Point, dict[Key, Shown]]], list[Point]]:
    """Return the first rows of each point that has any, and the points whose file is unreadable."""
    files: list[tuple[Point, Path, pa.Schema]] = []
    read, unread = [], []
    for point in points:
        try:
            path = _file(point)
            files.append((point, path, schema_of(path)))
        except Exception:  # gone, replaced, damaged in any way: the others are worth showing
            unread.append(point)
    keys = dict.fromkeys(key for point, *_ in files for key in point.prompt_keys)
    columns = shared_columns(keys, [schema for *_, schema in files])
    for point, path, _ in files:
        try:
            rows = _rows(point, path, columns)
        except Exception:
            unread.append(point)
            continue
        if rows:
            read.append((point, rows))
    return read, unread


def _file(point: Point) -> Path:
    """Return a point's scored file, or else its output."""
    path = scored_file(point)
    if path is None or not path.exists():
        path = path_of(str(point.figures.get("output_path")))
    return path


def _scoring(point: Point) -> dict[str, Any]:
    found = (read_json(point.run_dir / "published.json") or {}).get("scoring")
    return found if isinstance(found, dict) else {}


def _rows(point: Point, path: Path, columns: Sequence[str]) -> dict[Key, Shown]:
    """Read the first rows of a point. Raises whatever reading raises."""
    judged = str(_scoring(point).get("prefix", ""))
    tags = reasoning_tags_in(read_json(point.run_dir / "run.json"))
    found: dict[Key, Shown] = {}
    seen: dict[str, int] = {}
    lists = [point.prefix + name for name in PER_SAMPLE if name != "responses"]
    lists += [judged + name for name in SCORED]
    values = [*(point.prefix + name for name in VALUES), f"{judged}compared_with", *columns]
    responses_key = f"{point.prefix}responses"
    rows = answered_rows(path, point.prompt_keys[0], responses_key, lists, values)
    for number, row in enumerate(rows):
        text = row_text([row.columns[name] for name in columns]) if columns else str(number)
        found[text, seen.get(text, 0)] = _shown(number, row, point, judged, tags)
        seen[text] = seen.get(text, 0) + 1
    return found


def _shown(number: int, row: AnsweredRow, point: Point, judged: str, tags: Sequence[str]) -> Shown:
    prefix, texts = point.prefix, row.responses
    columns: dict[str, Any] = {name: row.columns.get(prefix + name) for name in PER_SAMPLE}
    columns |= {name: row.columns.get(judged + name) for name in SCORED} | {"responses": texts}
    samples = None
    if texts is not None:
        samples = [sample_view(columns, i, tags) for i in range(min(len(texts), MAX_RESPONSES))]
    return Shown(
        number,
        row.messages,
        samples,
        _text(row.columns.get(f"{prefix}error")),
        _text(row.columns.get(f"{judged}compared_with")),
        row.columns.get(f"{prefix}num_prompt_tokens"),
        texts is not None and len(texts) > MAX_RESPONSES,
    )


def _text(value: Any) -> str | None:
    return None if value is None else utf8(str(value))


def _first_keys(points: Sequence[dict[Key, Shown]]) -> list[Key]:
    """Return all prompts: those that most points have come first, then by their row."""
    first: dict[Key, int] = {}
    count: dict[Key, int] = {}
    for rows in points:
        for key, shown in rows.items():
            first[key] = min(shown.number, first.get(key, shown.number))
            count[key] = count.get(key, 0) + 1
    return sorted(first, key=lambda key: (-count[key], first[key]))


def _prompt(key: Key, points: Sequence[dict[Key, Shown]]) -> PromptView:
    found = [rows.get(key) for rows in points]
    known = [shown for shown in found if shown is not None]
    references = [shown.reference for shown in known if shown.reference is not None]
    tokens = {shown.num_prompt_tokens for shown in known}
    asked = known[0].messages
    others = [s.messages if s is not None and s.messages != asked else None for s in found]
    return PromptView(
        min(shown.number for shown in known),
        asked,
        [None if shown is None else shown.samples or [] for shown in found],
        [None if shown is None else shown.error for shown in found],
        references[0] if references else None,
        tokens.pop() if len(tokens) == 1 else None,
        others=tuple(others) if any(others) else (),
    )


# Their size.


def _cut_to_fit(prompts: list[PromptView]) -> tuple[list[PromptView], int]:
    """Return the prompts with texts cut at the largest of CUTS that fits, and that."""
    cut: list[PromptView] = []
    for most in CUTS:
        cut = [_cut_prompt(prompt, most) for prompt in prompts]
        if sum(map(_num_bytes, cut)) <= MAX_BYTES:
            return cut, most
    while len(cut) > 1 and sum(map(_num_bytes, cut)) > MAX_BYTES:
        cut.pop()
    return cut, CUTS[-1]


def cut(text: str, most: int) -> str:
    """Return a text with its middle left out: an answer is at the end of a response."""
    if len(text) <= most:
        return text
    head, tail = most * 2 // 3, most // 3
    return f"{text[:head]}\n… {len(text) - head - tail:,} characters left out …\n{text[-tail:]}"


def _cut_prompt(prompt: PromptView, most: int) -> PromptView:
    def short(text: str | None) -> str | None:
        return None if text is None else cut(text, most)

    samples = [
        mine
        and [
            replace(
                sample,
                text=cut(sample.text, most),
                reasoning=short(sample.reasoning),
                extracted=short(sample.extracted),
                error=short(sample.error),
                is_cut=sample.is_cut or len(sample.text) > most,
            )
            for sample in mine
        ]
        for mine in prompt.samples
    ]

    def short_turns(turns: Messages) -> Messages:
        return [(cut(role, most), cut(text, most)) for role, text in turns]

    return replace(
        prompt,
        messages=short_turns(prompt.messages),
        others=tuple(turns and short_turns(turns) for turns in prompt.others),
        samples=samples,
        errors=[short(error) for error in prompt.errors],
        reference=short(prompt.reference),
        is_cut=prompt.is_cut or any(len(text) > most for _, text in prompt.messages),
    )


def _num_bytes(prompt: PromptView) -> int:
    """Return how many bytes its texts take in a page, at most."""
    turns = itertools.chain(prompt.messages, *filter(None, prompt.others))
    texts = [text for turn in turns for text in turn]
    texts += [*prompt.errors, prompt.reference]
    for sample in (sample for mine in prompt.samples for sample in mine or ()):
        texts += [sample.text, sample.reasoning, sample.extracted, sample.error]
    return sum(len(json.dumps(text)) + 5 * sum(map(text.count, "<>&")) for text in texts if text)


def _omissions(
    shown: Sequence[PromptView],
    prompts: Sequence[PromptView],
    most: int,
    num_rows: int,
    points: Sequence[dict[Key, Shown]],
) -> list[str]:
    """Return what is not shown of the rows that were read, and of those that were not."""
    notes = []
    if len(shown) < num_rows:
        notes.append("These are the first rows.")
    if any(row.has_more for rows in points for row in rows.values()):
        notes.append(f"Of each point, at most {MAX_RESPONSES} responses are shown.")
    if any(one != other for one, other in zip(shown, prompts, strict=False)):
        notes.append(f"Texts of more than {most:,} characters are cut in the middle.")
    return notes

"""A sweep's page: its table, and the first prompts with each point's responses side by side.

Owns how the page looks and how a point's first responses are read from its published file.
Guarantees: one file that loads nothing and runs nothing; text of models, inputs and names appears
as text. Must not know what a point is, which one is best, or how figures are computed.
"""

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rollout.config.sections.data import Data, PromptFormat
from rollout.inputs.chats import content_of
from rollout.inputs.columns import values_of
from rollout.inputs.files import open_parquet
from rollout.system.formats.row_batches import group_batches
from rollout.system.safe_text import printable_text

BATCH_ROWS = 10
MAX_ROWS = 100  # of a published file
MAX_TOTAL_CHARS = 16 << 20  # fewer rows where they are very long
MAX_POINTS, NUM_PROMPTS, NUM_RESPONSES, MAX_CHARS = 12, 8, 2, 600  # side by side
CHATS = Data(prompt_format=PromptFormat.json)

Answer = dict[str, Any]  # row: position in the published file, prompt: text, responses: texts


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the page's table."""

    cells: list[str]
    status: str
    error: str | None = None
    is_best: bool = False


def first_answers(path: Path, prompt_key: str, responses_key: str) -> list[Answer]:
    """Return the first rows of a published file, at most MAX_ROWS, reading no more than needed.

    Raises whatever reading raises; KeyError if a column is missing.
    """
    answers: list[Answer] = []
    num_chars = 0
    for prompt, responses in _prompts_with_responses(path, prompt_key, responses_key):
        text, texts = _prompt_text(prompt), _responses(responses)
        answers.append({"row": len(answers), "prompt": text, "responses": texts})
        num_chars += len(text or "") + sum(len(t or "") for t in texts or ())
        if len(answers) == MAX_ROWS or num_chars > MAX_TOTAL_CHARS:
            break
    return answers


def _prompts_with_responses(
    path: Path, prompt_key: str, responses_key: str
) -> Iterator[tuple[Any, Any]]:
    """Yield prompt and responses of each row of a published file or directory, in either layout."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    with open_parquet(files[0]) as file:
        is_per_prompt = responses_key in file.schema_arrow.names
    if is_per_prompt:
        yield from _rows(files, [prompt_key, responses_key])
        return
    prefix = responses_key.removesuffix("responses")
    wanted = [f"{prefix}row", prompt_key, f"{prefix}response", f"{prefix}sample_index"]
    for _, samples in itertools.groupby(_rows(files, wanted), key=lambda values: values[0]):
        first = next(samples)
        yield first[1], [s[2] for s in (first, *samples) if s[3] is not None]


def _rows(files: list[Path], wanted: list[str]) -> Iterator[tuple[Any, ...]]:
    for path in files:
        with open_parquet(path) as file:
            for group in range(file.num_row_groups):  # one at a time, as in prompts.py
                for batch in group_batches(file, group, wanted, BATCH_ROWS):
                    yield from zip(*(values_of(batch.column(k)) for k in wanted), strict=True)


def _prompt_text(value: Any) -> str | None:
    """Return a prompt as text for people, as summary.preview_prompts; chats may be JSON text."""
    if value is None or isinstance(value, bytes):
        return None
    try:
        content = content_of(value, CHATS)
    except ValueError:  # no prompt, but it may be looked at
        content = value
    if isinstance(content, list) and all(isinstance(m, dict) for m in content):
        content = " / ".join(f"{m.get('role')}: {_content_text(m)}" for m in content)
    return utf8(content if isinstance(content, str) else json.dumps(content, default=str))


def _content_text(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, dict) else part for part in content]
        return "".join(str(part) for part in parts if part is not None)
    return "" if content is None else str(content)


def _responses(value: Any) -> list[str | None] | None:
    if value is None or isinstance(value, bytes):
        return None
    return [None if text is None else utf8(text) for text in value]


def utf8(text: str) -> str:
    """Return text that UTF-8 can encode: half a surrogate pair is escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def page(
    title: str,
    lines: Sequence[str],
    headers: Sequence[tuple[str, str, bool]],
    rows: Sequence[Row],
    side: Sequence[tuple[str, list[Answer]]],
    num_left_out: int = 0,
) -> str:
    """Return the page as text.

    `headers` are label, full name, whether it is a number; `side` are names and answers. Only the
    first MAX_POINTS of `side` are shown; `num_left_out` counts the points that are not in `side`.
    """
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    shown = list(side[:MAX_POINTS])
    environment = ImmutableSandboxedEnvironment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, finalize=_shown
    )
    return environment.from_string(TEMPLATE).render(
        title=title,
        lines=lines,
        headers=headers,
        rows=rows,
        names=[name for name, _ in shown],
        num_left_out=num_left_out + len(side) - len(shown),
        blocks=_blocks([answers for _, answers in shown]),
        cut=cut,
        num_responses=NUM_RESPONSES,
    )


def _blocks(points: list[list[Answer]]) -> list[tuple[int, str | None, list[Answer | None]]]:
    """Return the first prompts, each with every point's answer to it, None if it has none.

    Prompts are matched by their text (the k-th of equal ones with the k-th), not by position:
    points may leave different rows out, or read different files.
    """
    first_row: dict[tuple[str | None, int], int] = {}
    found: list[dict[tuple[str | None, int], Answer]] = []
    for answers in points:
        seen: dict[str | None, int] = {}
        mine = {}
        for answer in answers:
            text = answer["prompt"]
            key = text, seen.get(text, 0)
            seen[text] = key[1] + 1
            mine[key] = answer
            first_row[key] = min(answer["row"], first_row.get(key, answer["row"]))
        found.append(mine)
    keys = sorted(first_row, key=first_row.__getitem__)[:NUM_PROMPTS]
    return [(first_row[key], key[0], [mine.get(key) for mine in found]) for key in keys]


def cut(text: str, size: int = MAX_CHARS) -> str:
    return text if len(text) <= size else text[:size].rstrip() + " …"


def _shown(value: Any) -> Any:
    """Return a value for the template; control and invisible characters are escaped."""
    is_text = isinstance(value, str) and not hasattr(value, "__html__")
    return printable_text(value) if is_text else value


TEMPLATE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{ title }}</title>
<style>
:root { color-scheme: light dark; --line: #d0d4da; --soft: #6a7078; --best: #e4f3e6;
  --bad: #b3261e; --text: #1c1f23; --paper: #ffffff; }
@media (prefers-color-scheme: dark) {
  :root { --line: #3a3f46; --soft: #9aa1aa; --best: #1d3a24; --bad: #ff8a80;
    --text: #e6e8eb; --paper: #16181b; } }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem; color: var(--text);
  background: var(--paper); }
h1 { font-size: 1.4rem; } h2 { font-size: 1.15rem; margin-top: 2.5rem; }
h3 { font-size: 1rem; margin: 2rem 0 .4rem; color: var(--soft); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .7rem; text-align: left;
  vertical-align: top; }
th { font-weight: 600; white-space: nowrap; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.best { background: var(--best); font-weight: 600; }
.failed, .error { color: var(--bad); } .soft, .waiting { color: var(--soft); }
.error, .text, .name { unicode-bidi: plaintext; }
.error, .text { white-space: pre-wrap; overflow-wrap: anywhere; }
.prompt { border-left: 3px solid var(--line); padding-left: .8rem; max-width: 60rem; }
.side td { min-width: 16rem; max-width: 32rem; }
.side .text + .text { margin-top: .6rem; padding-top: .6rem; border-top: 1px dashed var(--line); }
</style>
</head>
<body>
<h1 class="name">{{ title }}</h1>
{% for line in lines %}
<p class="name">{{ line }}</p>
{% endfor %}
<div class="wide"><table>
<thead><tr>
{% for label, name, is_number in headers %}
<th class="name{{ ' number' if is_number }}" title="{{ name }}">{{ label }}</th>
{% endfor %}
</tr></thead>
<tbody>
{% for row in rows %}
<tr class="{{ row.status }}{{ ' best' if row.is_best }}">
{% for cell in row.cells %}
<td class="name{{ ' number' if headers[loop.index0][2] }}">{{ cell }}\
{{ ' ★' if row.is_best and loop.first }}</td>
{% endfor %}
</tr>
{% if row.error %}
<tr><td class="error" colspan="{{ headers | length }}">{{ row.error }}</td></tr>
{% endif %}
{% endfor %}
</tbody>
</table></div>
{% if blocks %}
<h2>Side by side</h2>
<p class="soft">The first prompts, each with its first {{ num_responses }} responses; long texts
are cut. sweep.parquet has more.
{% if num_left_out %}
{{ num_left_out }} more points are left out here.
{% endif %}
</p>
{% for row, prompt, answers in blocks %}
<h3>row {{ row }}</h3>
<div class="text prompt">{{ '(no text)' if prompt is none else cut(prompt) }}</div>
<div class="wide"><table class="side">
<thead><tr>
{% for name in names %}
<th class="name">{{ name }}</th>
{% endfor %}
</tr></thead>
<tbody><tr>
{% for answer in answers %}
<td>
{% if answer is none %}
<span class="soft">not among its first rows</span>
{% elif not answer.responses %}
<span class="soft">no responses</span>
{% else %}
{% for response in answer.responses[:num_responses] %}
<div class="text">{{ cut(response or '') or '(empty)' }}</div>
{% endfor %}
{% endif %}
</td>
{% endfor %}
</tr></tbody>
</table></div>
{% endfor %}
{% endif %}
</body>
</html>
"""

"""The rows of a training file, made from scored rows in the chosen format.

Raises UserError at once if settings and columns do not fit together. Must not know about the file.
"""

from collections import Counter
from typing import TYPE_CHECKING, Any

from rollout.config.sections.export import Format
from rollout.errors import UserError
from rollout.postprocess.export.answers import Answers
from rollout.postprocess.export.checks import PROMPTS
from rollout.postprocess.export.formats import (
    Prompt,
    Unfit,
    columns_of,
    split_completion,
    with_completion,
)
from rollout.postprocess.export.prompts import Prompts
from rollout.postprocess.export.selection import (
    Candidate,
    best_responses,
    fitting_responses,
    keeps_row,
    preference_pairs,
)
from rollout.postprocess.export.verl import Verl, merged
from rollout.rows.column_paths import column_at, field_at
from rollout.system.formats.plain_types import take_values

if TYPE_CHECKING:
    import pyarrow as pa

    from rollout.config.sections.postprocess import Postprocess

BESIDE = ("finish_reason", "num_response_tokens")  # the run's own columns, under its prefix


class Rows:
    """Makes the rows. `schema` is that of the file; `needed` are the columns to read."""

    def __init__(self, settings: "Postprocess", scored: "pa.Schema", compares: bool):
        self.select, self.export, self.settings = settings.select, settings.export, settings
        self.dropped: Counter[str] = Counter()
        self.prompts = Prompts(self.export, scored, settings.prompt_key)
        self.answers = self.verl = None
        if self.export.format in PROMPTS:
            key, prefix = settings.answer_key, settings.prefix
            self.answers = Answers(self.export, scored, compares, prefix, key)
        if self.export.format is Format.verl:
            self.verl = Verl(self.export, scored, self.answers, self._inputs(scored))
        self._prefix = settings.responses_key.removesuffix("responses")
        self._set_schema(scored)

    def _inputs(self, scored: "pa.Schema") -> list[str]:
        """Return the columns of the run's input: those before the responses, without prompts."""
        names, key = scored.names, self.settings.responses_key
        before = names[: names.index(key)] if key in names else names
        return [name for name in before if name not in self.prompts.needed]

    def _set_schema(self, scored: "pa.Schema") -> None:
        import pyarrow as pa

        own = columns_of(self.export, self.prompts.kind, self.prompts.is_chat)
        self._kept = list(self.export.keep)
        if self.prompts.has_tools:
            own["tools"] = pa.string()
        if self.export.format is Format.grpo:
            own[self.answers.name] = self.answers.kind
        if self.verl:
            source, *others = self.verl.fields.items()
            own = dict([source]) | own | dict(others)
            self._kept += [name for name in self.verl.kept if name not in self._kept]
        if clash := [name for name in self._kept if name in own]:
            is_answer = self.answers and clash[0] == self.answers.name
            remedy = "leave it out or rename it"
            if is_answer and self.answers.is_compared:
                remedy = (
                    "it holds what the scorer compared with; for the input's column, "
                    f"type export.answer_key={clash[0]} and leave export.keep out"
                )
            raise UserError(
                f"export.keep: export.format={self.export.format.name} has its own column "
                f"{clash[0]!r}; {remedy}"
            )
        kept = [scored.field(name) for name in self._kept]
        self.schema = pa.schema([*map(pa.field, own, own.values()), *kept])
        needed = [*self.prompts.needed, self.settings.responses_key]
        needed += [self._prefix + name for name in BESIDE]
        needed.append(f"{self.settings.prefix}verdicts")
        if self.answers:
            needed.append(self.answers.column)
        if self.verl:
            needed += self.verl.needed
        self.needed = [n for n in dict.fromkeys(needed) if field_at(scored, n) is not None]

    @property
    def notes(self) -> list[str]:
        """Notes on the file's prompts and answers."""
        found = [*self.prompts.notes, *(self.answers.notes if self.answers else [])]
        return found + (self.verl.notes() if self.verl else [])

    def of(
        self, row: dict[str, Any], scores: list, pass_rate: float | None, number: int
    ) -> list[dict[str, Any]]:
        """Return the rows made from scored row `number`: none, one or several."""
        if not keeps_row(self.select, pass_rate, self.dropped):
            return []
        try:
            prompt, tools = self.prompts.of(row)
            if self.answers:
                if self.answers.is_compared and not row.get(self.settings.responses_key):
                    raise Unfit("rows without responses, so nothing was compared")
                answer, right = self.answers.of(row), self._right(row, scores)
                verl = self.verl.row(row, number, answer, pass_rate, right) if self.verl else {}
                return [{"prompt": prompt, **verl}]
            made = self._made(prompt, self._samples(row, scores))
        except Unfit as unfit:
            self.dropped[str(unfit)] += 1
            return []
        return [{**one, "tools": tools} for one in made] if self.prompts.has_tools else made

    def _right(self, row: dict[str, Any], scores: list) -> list[str]:
        """Return the responses that pass."""
        try:
            samples = self._samples(row, scores)
        except Unfit:  # only the prompt is exported
            return []
        known = [c for c in samples if c.text is not None and c.score is not None]
        return [c.text for c in known if c.passes(self.settings.pass_threshold)]

    def _samples(self, row: dict[str, Any], scores: list) -> list[Candidate]:
        texts = row[self.settings.responses_key] or []
        if isinstance(texts, bytes):
            raise Unfit("rows whose responses are not UTF-8 text")
        names = [*(self._prefix + name for name in BESIDE), f"{self.settings.prefix}verdicts"]
        beside = [row.get(name) for name in names]
        beside = [v if isinstance(v, list) else [None] * len(texts) for v in beside]
        if not len(texts) == len(scores) == len(beside[0]) == len(beside[1]) == len(beside[2]):
            raise Unfit("rows whose responses and other columns differ in length")
        zipped = zip(texts, scores, *beside, strict=True)
        return [Candidate(i, *parts) for i, parts in enumerate(zipped)]

    def _made(self, prompt: Prompt, samples: list[Candidate]) -> list[dict[str, Any]]:
        threshold, dropped = self.settings.pass_threshold, self.dropped
        kept = fitting_responses(self.select, samples, dropped)
        if self.export.format is Format.dpo:
            pairs = preference_pairs(self.select, self.export, kept, threshold, dropped)
            return [_preference(prompt, best, worst) for best, worst in pairs]
        made = []
        for sample in best_responses(self.select, kept, threshold, dropped):
            if self.export.format is Format.sft:
                full = with_completion(prompt, sample.text)
                made.append({"messages" if self.prompts.is_chat else "text": full})
            else:
                asked, completion = split_completion(prompt, sample.text)
                made.append({"prompt": asked, "completion": completion})
            made[-1]["score"] = sample.score
        return made

    def table(
        self, rows: list[dict[str, Any]], batch: "pa.RecordBatch", origin: list[int]
    ) -> "pa.Table":
        """Return the rows as a table; `origin` holds the index in the batch of each row."""
        import pyarrow as pa

        merges = self.verl.merged if self.verl else {}
        own = {f.name: f.type for f in self.schema if f.name not in self._kept}
        own |= {name: self.verl.own[name] for name in merges}
        answers = self.answers if self.export.format is Format.grpo else None
        if answers:
            del own[answers.name]
        made = pa.Table.from_pylist(rows, schema=pa.schema(list(own.items()))).combine_chunks()
        arrays = {name: made.column(name) for name in own}
        places = pa.array(origin)
        for name in (*merges, *self._kept):
            there = take_values(column_at(batch, name), places)
            arrays[name] = merged(there, arrays[name].chunk(0)) if name in merges else there
        if answers:
            arrays[answers.name] = take_values(column_at(batch, answers.column), places)
        return pa.Table.from_arrays([arrays[n] for n in self.schema.names], schema=self.schema)


def _preference(prompt: Prompt, best: Candidate, worst: Candidate) -> dict[str, Any]:
    asked, good = split_completion(prompt, best.text)
    return {
        "prompt": asked,
        "chosen": good,
        "rejected": split_completion(prompt, worst.text)[1],
        "score_chosen": best.score,
        "score_rejected": worst.score,
    }

"""The hand-over of scored rows: counts them, selects, and writes one training file.

Promises: batches stream, so memory grows by a few numbers a row; the file appears whole at
`finish` or not at all. Must not know scorers or where the scored rows go.
"""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rollout.disk import written_whole
from rollout.errors import UserError, did_you_mean
from rollout.input_columns import values_of
from rollout.overrides import at_home
from rollout.training.estimates import Counts
from rollout.training.formats import (
    Unfit,
    continued,
    ground_truth,
    members_of,
    prompt_of,
    schema_of,
    whole,
)
from rollout.training.selection import (
    Candidate,
    chosen,
    fitting,
    keeps_row,
    needs_responses,
    preferred,
)
from rollout.training.settings import Format, Select
from rollout.training.table import Summary

if TYPE_CHECKING:
    import pyarrow as pa

    from rollout.scoring.settings import Postprocess


class Handover:
    """Takes scored batches in order; `finish` or `abort` ends it.

    `schema` is the scored rows'. Raises UserError where a setting can't be served.
    """

    def __init__(self, settings: "Postprocess", schema: "pa.Schema"):
        self.estimate, self.select, self.export = (
            settings.estimate, settings.select, settings.export,
        )  # fmt: skip
        self.schema, self.prefix = schema, settings.prefix
        self.prompt_key, self.responses_key = settings.prompt_key, settings.responses_key
        self.answer_key = self.export.answer_key or settings.answer_key or "answer"
        self.threshold = settings.pass_threshold
        self.counts = Counts(self.estimate, self.threshold)
        self.dropped: Counter[str] = Counter()
        self.summary: Summary | None = None
        self.num_exported = self._row = 0
        self._whole = self._writer = None
        self._check()
        if self.export.format is not Format.none:
            self._open()

    def _check(self) -> None:
        export, select = self.export, self.select
        if bad := [k for k in self.estimate.k if k < 1]:
            raise UserError(f"estimate.k={bad[0]}: pass@k needs a k of 1 or more")
        self._need("estimate.group_by", self.estimate.group_by)
        if export.format is Format.none:
            if select != Select():
                raise UserError(
                    "select.* chooses what is exported, but export.format=none; type "
                    "export.format=sft export.path=train.parquet"
                )
            return
        if not export.path:
            raise UserError("export.path is not set; type export.path=train.parquet")
        if Path(at_home(export.path)).exists() and not export.overwrite:
            raise UserError(
                f"export.path={export.path} exists already; type another export.path=, or "
                "export.overwrite=true to replace it"
            )
        low, high = select.min_pass_rate, select.max_pass_rate
        if low is not None and high is not None and low > high:
            raise UserError(
                f"select.min_pass_rate={low} is above select.max_pass_rate={high}: no prompt fits"
            )
        self._need("prompt_key", [self.prompt_key])
        self._need("export.keep", export.keep)
        if export.format in (Format.grpo, Format.verl):
            self._need("export.answer_key", [self.answer_key])
        if (select.min_tokens, select.max_tokens) != (None, None):
            self._need("select.min_tokens and max_tokens", ["num_response_tokens"])

    def _need(self, key: str, names: list[str]) -> None:
        for name in names:
            if name not in self.schema.names:
                guess = did_you_mean(name, self.schema.names)
                raise UserError(f"{key}: the input has no column {name!r}.{guess}")

    def _open(self) -> None:
        import pyarrow.parquet as pq

        keep = list(self.export.keep)
        if self.export.format is Format.grpo and self.answer_key not in keep:
            keep.insert(0, self.answer_key)
        prompt = self.schema.field(self.prompt_key).type
        schema = schema_of(self.export, prompt, [self.schema.field(name) for name in keep])
        clash = [name for name in schema.names if schema.names.count(name) > 1]
        if clash:
            raise UserError(
                f"export.keep: {clash[0]!r} is a column of export.format="
                f"{self.export.format.name} itself; leave it out or rename it"
            )
        self._keep, self._out = keep, schema
        self._members = members_of(prompt)
        path = Path(at_home(self.export.path))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._whole = written_whole(path, replace=self.export.overwrite)
            self._writer = pq.ParquetWriter(self._whole.__enter__(), schema)
        except OSError as error:
            raise UserError(
                f"export.path={path} can't be written ({error.strerror or error}); type another "
                "export.path="
            ) from None

    def add(self, batch: "pa.RecordBatch") -> None:
        """Count one batch of scored rows, and write what is selected of it."""
        import pyarrow as pa

        names = [f"{self.prefix}{name}" for name in ("scores", "extracted", "pass_rate")]
        verdicts = f"{self.prefix}verdicts"
        wanted = [*names, *self.estimate.group_by]
        wanted += [name for name in (verdicts, self.responses_key) if name in self.schema.names]
        if self._writer:
            optional = ["finish_reason", "num_response_tokens", "data_source", self.answer_key]
            wanted += [self.prompt_key, self.responses_key]
            wanted += [name for name in optional if name in self.schema.names]
        columns = {name: list(values_of(batch.column(name))) for name in dict.fromkeys(wanted)}
        rows: list[dict[str, Any]] = []
        origin: list[int] = []
        for number in range(batch.num_rows):
            row = {name: values[number] for name, values in columns.items()}
            scores, answers, pass_rate = (row[name] for name in names)
            group = tuple(str(row[name]) for name in self.estimate.group_by)
            texts = row.get(self.responses_key)
            num_distinct = len(set(texts)) if isinstance(texts, list) else None
            self.counts.add(scores, answers, row.get(verdicts), group, num_distinct)
            if self._writer:
                made = self._rows(row, scores or [], pass_rate)
                rows += made
                origin += [number] * len(made)
            self._row += 1
        if rows:
            own = [field for field in self._out if field.name not in self._keep]
            arrays = pa.Table.from_pylist(rows, schema=pa.schema(own)).columns
            arrays += [batch.column(name).take(pa.array(origin)) for name in self._keep]
            self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._out))
            self.num_exported += len(rows)

    def _rows(
        self, row: dict[str, Any], scores: list[float | None], pass_rate: float | None
    ) -> list[dict[str, Any]]:
        """Give what one input row is exported as: none, one or several rows."""
        if not keeps_row(self.select, pass_rate, self.dropped):
            return []
        try:
            prompt = prompt_of(row[self.prompt_key], self.export, self._members)
            if not needs_responses(self.export.format):
                return [self._prompt_row(row, prompt, pass_rate)]
            return self._response_rows(row, prompt, scores)
        except Unfit as unfit:
            self.dropped[str(unfit)] += 1
            return []

    def _prompt_row(self, row: dict[str, Any], prompt: Any, pass_rate: float | None) -> dict:
        if row[self.answer_key] is None:
            raise Unfit(f"rows whose {self.answer_key} is null")
        if self.export.format is Format.grpo:
            return {"prompt": prompt}
        return {
            "data_source": self.export.data_source or row.get("data_source") or "rollout",
            "prompt": prompt,
            "ability": self.export.ability,
            "reward_model": {"style": "rule", "ground_truth": ground_truth(row[self.answer_key])},
            "extra_info": {
                "index": self._row, "split": self.export.split, "pass_rate": pass_rate,
            },
        }  # fmt: skip

    def _response_rows(self, row: dict[str, Any], prompt: Any, scores: list) -> list[dict]:
        texts = row[self.responses_key] or []
        reasons = row.get("finish_reason") or [None] * len(texts)
        sizes = row.get("num_response_tokens") or [None] * len(texts)
        if isinstance(texts, bytes):
            raise Unfit("rows whose responses are not UTF-8 text")
        if not len(texts) == len(scores) == len(reasons) == len(sizes):
            raise Unfit("rows whose responses and other columns are not of one length")
        zipped = zip(texts, scores, reasons, sizes, strict=True)
        samples = [Candidate(i, *parts) for i, parts in enumerate(zipped)]
        kept = fitting(self.select, samples, self.dropped)
        if self.export.format is Format.dpo:
            pairs = preferred(self.select, self.export, kept, self.threshold, self.dropped)
            return [_preference(prompt, best, worst) for best, worst in pairs]
        made = []
        for sample in chosen(self.select, kept, self.threshold, self.dropped):
            if self.export.format is Format.sft:
                full = whole(prompt, sample.text)
                made.append({"text" if isinstance(full, str) else "messages": full})
            else:
                asked, completion = continued(prompt, sample.text)
                made.append({"prompt": asked, "completion": completion})
            made[-1]["score"] = sample.score
        return made

    def finish(self) -> Summary:
        """Publish the file and give the summary.

        Raises UserError where the selection left nothing; the summary is then in `summary`.
        """
        self.dropped = +self.dropped
        path = self.export.path if self._writer else None
        self.summary = Summary(
            self.counts.groups(), self.dropped, self.num_exported, path, self.estimate.confidence
        )
        if self._writer and not self.num_exported:
            self.abort()
            rules = ", ".join(f"{n:,} {rule}" for rule, n in self.dropped.most_common())
            raise UserError(
                f"export.path={path} would be empty: of {self._row:,} rows were dropped "
                f"{rules or 'none'}; loosen select.*, or draw more samples"
            )
        if self._writer:
            self._writer.close()
            try:
                self._whole.__exit__(None, None, None)
            except FileExistsError:
                raise UserError(
                    f"export.path={path} has appeared meanwhile; type another export.path="
                ) from None
            self._writer = None
        return self.summary

    def abort(self) -> None:
        """Leave no file; harmless after `finish` or a second time."""
        if self._writer:
            self._writer.close()
            self._writer = None
            reason = RuntimeError("aborted")
            self._whole.__exit__(RuntimeError, reason, None)


def _preference(prompt: Any, best: Candidate, worst: Candidate) -> dict[str, Any]:
    asked, good = continued(prompt, best.text)
    return {
        "prompt": asked,
        "chosen": good,
        "rejected": continued(prompt, worst.text)[1],
        "score_chosen": best.score,
        "score_rejected": worst.score,
    }

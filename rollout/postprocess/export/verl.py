"""The columns of verl's layout; an input that already has this layout keeps its own columns.

The columns are those of verl 0.9 (docs: prepare_data); its `default_compute_score` picks the
reward function by `data_source`. Must not know about prompts or selection.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rollout.config.sections.export import Export
from rollout.postprocess.export.answers import VERL_KEY, Answers, as_ground_truth

if TYPE_CHECKING:
    import pyarrow as pa

GSM8K, MATH = "openai/gsm8k", "DigitalLearningGmbH/MATH-lighteval"
UNKNOWN = "rollout"
KNOWN = re.compile(
    r"openai/gsm8k|lighteval/MATH|DigitalLearningGmbH/MATH-lighteval|HuggingFaceH4/MATH-500|"
    r"math_dapo|math|math_dapo_reasoning|aime.*|numina_(aops_forum|synthetic_math|amc_aime|"
    r"synthetic_amc|cn_k12|olympiads)|codecontests|apps|codeforces|taco|hiyouga/geometry3k|"
    r"searchR1_(nq|triviaqa|popqa|hotpotqa|2wikimultihopqa|musique|bamboogle)"
)
# What a response must contain for the reward function to find its answer.
MARKS = {
    GSM8K: ("#### 42", re.compile(r"#### -?[0-9.,]")),
    MATH: ("\\boxed{42}", re.compile(r"\\boxed")),
    "lighteval/MATH": ("\\boxed{42}", re.compile(r"\\boxed")),
    "HuggingFaceH4/MATH-500": ("\\boxed{42}", re.compile(r"\\boxed")),
}
MAX_SOURCES = 1000


class Verl:
    """Makes rows of verl's layout. `own` are the columns it fills, `kept` those of the input."""

    def __init__(
        self, export: Export, schema: "pa.Schema", answers: Answers, inputs: Sequence[str]
    ):
        import pyarrow as pa

        self.export, self.answers = export, answers
        structs = {
            name: schema.field(name).type
            for name in ("reward_model", "extra_info")
            if name in inputs and pa.types.is_struct(schema.field(name).type)
        }
        self._members = {
            name: [kind.field(i).name for i in range(kind.num_fields)]
            for name, kind in structs.items()
        }
        # The input's own ground truth stays unchanged, whatever its type.
        self.keeps_truth = answers.column == VERL_KEY and not answers.is_compared
        text, model, info = pa.string(), {}, {}
        if "style" not in self._members.get("reward_model", []):
            model["style"] = text
        if not self.keeps_truth:
            model["ground_truth"] = text
        info |= {} if self._has("extra_info", "index") else {"index": pa.int64()}
        if not self._has("extra_info", "split") or export.split is not None:
            info["split"] = text
        info["pass_rate"] = pa.float64()
        self.own = {"data_source": text, "ability": text, "extra_info": pa.struct(info)}
        if model:
            self.own["reward_model"] = pa.struct(model)
        self.kept = [n for n in inputs if structs and n not in (*self.own, "prompt")]
        self.merged = {n: _merged_type(structs[n], self.own[n]) for n in structs if n in self.own}
        self._replaced = ["prompt"] if structs and "prompt" in inputs else []
        self._replaced += ["extra_info.pass_rate"] * self._has("extra_info", "pass_rate")
        self.sources: Counter[str] = Counter()
        self._is_guessed = False  # of at least one row
        self._right: Counter[str] = Counter()
        self._marked: Counter[str] = Counter()

    def _has(self, struct: str, member: str) -> bool:
        return member in self._members.get(struct, [])

    @property
    def fields(self) -> dict[str, "pa.DataType"]:
        """The filled columns and their types, in verl's order."""
        order = ("data_source", "ability", "reward_model", "extra_info")
        return {n: self.merged.get(n, self.own[n]) for n in order if n in self.own}

    @property
    def needed(self) -> list[str]:
        """The columns that `row` reads besides the answer."""
        return ["data_source", "ability", self.answers.given]

    def row(
        self,
        row: dict[str, Any],
        number: int,
        answer: Any,
        pass_rate: float | None,
        right: list[str],
    ) -> dict[str, Any]:
        """Return the values of `own`; `right` are the row's responses that pass."""
        given = self.export.data_source or row.get("data_source")
        source = str(given or source_of(row.get(self.answers.given)))
        self._count(source, right)
        self._is_guessed |= not given
        values = {"style": "rule"}
        if not self.keeps_truth:
            values["ground_truth"] = as_ground_truth(answer)
        info = {"index": number, "split": self.export.split or "train", "pass_rate": pass_rate}
        return {
            "data_source": source,
            "ability": self.export.ability or str(row.get("ability") or "math"),
            "reward_model": values,
            "extra_info": info,
        }

    def _count(self, source: str, right: list[str]) -> None:
        if source not in self.sources and len(self.sources) >= MAX_SOURCES:
            return
        self.sources[source] += 1
        if source in MARKS:
            self._right[source] += len(right)
            self._marked[source] += sum(MARKS[source][1].search(text) is not None for text in right)

    def notes(self) -> list[str]:
        """Return notes on the chosen data_source, and on rewards that verl would not give."""
        found = [self._chosen()] if self.sources else []
        found += [f"{name} of the input is replaced" for name in self._replaced]
        for source, num_rows in self.sources.most_common():
            if not KNOWN.fullmatch(source):
                found.append(
                    f"verl has no reward function for data_source={source} ({num_rows:,} rows); "
                    f"type export.data_source={GSM8K} (reads '#### 42') or {MATH} (reads "
                    "\\boxed{42}), or set verl's custom_reward_function.path to your own"
                )
            elif self._right[source] > 2 * self._marked[source]:
                found.append(
                    f"verl's reward for data_source={source} reads answers such as "
                    f"{MARKS[source][0]}: {self._marked[source]:,} of {self._right[source]:,} "
                    "right responses have one"
                )
        return found[:6]

    def _chosen(self) -> str:
        most = self.sources.most_common(3)
        listed = ", ".join(f"{source} ({num_rows:,} rows)" for source, num_rows in most)
        more = len(self.sources) - len(most)
        why = "guessed from the answers" if self._is_guessed else "from the input"
        why = "from export.data_source" if self.export.data_source else why
        return f"data_source={listed}{f' and {more:,} others' if more else ''}, {why}"


def source_of(answer: Any) -> str:
    """Guess data_source from the answer's notation: a solution of GSM8K or of MATH."""
    text = answer if isinstance(answer, str) else ""
    if re.search(r"^#### ?\S", text, re.M):
        return GSM8K
    return MATH if "\\boxed" in text else UNKNOWN


def merged(given: "pa.Array", own: "pa.Array") -> "pa.Array":
    """Return structs with the members of both; for members of both, `own` wins."""
    import pyarrow as pa

    kind = _merged_type(given.type, own.type)
    arrays = dict(zip((f.name for f in given.type), given.flatten(), strict=True))
    arrays |= dict(zip((f.name for f in own.type), own.flatten(), strict=True))
    return pa.StructArray.from_arrays([arrays[f.name] for f in kind], fields=list(kind))


def _merged_type(given: "pa.DataType", own: "pa.DataType") -> "pa.DataType":
    import pyarrow as pa

    fields = {f.name: f.with_nullable(True) for kind in (given, own) for f in kind}
    return pa.struct(list(fields.values()))

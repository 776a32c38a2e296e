"""Each sample gets its verdict, whatever a scorer does and whatever a response holds.

A case is a scoring by a hostile function (hostile_function.py), after a run, within it or in a
sweep, or by one of our scorers over hostile responses. Counts and figures are computed here again,
in fractions. All JSON must be strict, and stderr may show nothing but the progress.
"""

import csv
import itertools
import json
import math
import random
from fractions import Fraction
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from fuzz import Outcome
from hostile_function import DEADLY, EXPECTED, SLOW, word_of
from hostile_texts import TEXTS, hostile_scorer
from processes import ROOT
from random_columns import random_column, random_type
from typed_in_process import POSTPROCESS, ROLLOUT, typed

from rollout.system.formats.parquet_writer import Writer

FUNCTION = ROOT / "tests/support/hostile_function.py"
VERDICTS = ("right", "wrong", "no_answer", "cut_off", "error", "unjudged")
COUNTS = {v: f"num_{ {'error': 'errors'}.get(v, v) }" for v in VERDICTS}


def case(rng: random.Random, directory: Path) -> Outcome:
    kind = rng.choice(["function", "function", "run", "texts", "texts"])
    if kind == "run" and rng.random() < 0.4:
        kind = "sweep"
    fault = {"function": by_hand, "run": in_run, "sweep": in_sweep, "texts": by_ours}[kind](rng)
    return Outcome(kind, fault)


def some_words(rng: random.Random) -> list[str]:
    """Return what the function does for each row; words that take time or a worker are rare."""
    words = rng.choices(list(EXPECTED), k=rng.randint(1, 4))
    dear = (*SLOW, *DEADLY)
    return ["inf" if w in dear and rng.random() < 0.8 else w for w in words]


def table_of(rng: random.Random, size: int) -> dict:
    acts = [some_words(rng) for _ in range(size)]
    columns = {"acts": pa.array(acts), "untouched": pa.array(["yes"] * size)}
    if rng.random() < 0.5:
        columns["more"] = random_column(rng, random_type(rng), size)
    return columns


def write(columns: dict) -> None:
    """Write parquet with rollout's own writer, since pyarrow's lacks some types."""
    table = pa.table(columns)
    with Writer("in.parquet", table.schema) as writer:
        writer.write_table(table)


def estimates(rng: random.Random) -> tuple[list[str], dict]:
    how = {
        "threshold": rng.choice([0.5, 1.0, 1e300]),
        "k": rng.choice([[], [1], [1, 2, 7], [50]]),
        "leave_out": rng.random() < 0.5,
    }
    words = ["scorer=python", f"python.function={FUNCTION}:f", "timeout_s=3", "memory_gib=1",
             f"pass_threshold={how['threshold']}", f"workers={rng.randint(1, 2)}",
             f"estimate.k={how['k']}", "estimate.resamples=50"]  # fmt: skip
    if how["leave_out"]:
        words.append("estimate.unscored=leave_out")
    return words, how


def by_hand(rng: random.Random) -> str:
    size = rng.randint(1, 6)
    columns = table_of(rng, size)
    responses = [
        None if rng.random() < 0.1 else
        [None if rng.random() < 0.1 else f"r{rng.random()}" for _ in range(rng.randint(0, 5))]
        for _ in range(size)
    ]  # fmt: skip
    columns["responses"] = pa.array(responses, pa.list_(pa.string()))
    write(columns)
    words, how = estimates(rng)
    said = typed(POSTPROCESS, "input=in.parquet", "output.path=scored.parquet", *words)
    return checked(said, Path("scored.parquet"), how)


def run_words(rng: random.Random) -> tuple[list[str], dict]:
    size = rng.randint(1, 4)
    columns = table_of(rng, size) | {"prompt": pa.array(["hi", None, "there", "x"][:size])}
    write(columns)
    words, how = estimates(rng)
    run = ["engine=scripted", "tracking=none", "data.input=in.parquet", "run_dir=run",
           f"sampling.n_samples={rng.randint(1, 4)}", "sampling.max_tokens=4"]  # fmt: skip
    return run + [f"postprocess.{word}" for word in words], how


def in_run(rng: random.Random) -> str:
    words, how = run_words(rng)
    said = typed(ROLLOUT, *words)
    scored = Path("run/scored.parquet")
    if fault := checked(said, scored, how):
        return fault
    if not said.code and (fault := json_faults(Path("run"))):
        return fault
    again = typed(ROLLOUT, *words)
    if again.code != said.code or again.complaint:
        return f"typed again: exit {again.code} after {said.code}: {again.err}"
    return ""


def in_sweep(rng: random.Random) -> str:
    words, how = run_words(rng)
    k = how["k"][0] if how["k"] else 1
    objective = rng.choice(["scores.mean", f"scores.pass@{k}", "scores.best@n", "scores.maj@n"])
    said = typed(ROLLOUT, "-m", *words, "sampling.temperature=0.5,1.0", f"objective={objective}")
    if said.code not in (0, 1) or bad_stderr(said):
        return f"exit {said.code}: {said.err} {said.out[-300:]}"
    if fault := json_faults(Path("run")):
        return fault
    for cell in itertools.chain(*csv.reader(Path("run/sweep.csv").read_text().splitlines())):
        if cell.lower() in ("nan", "inf", "-inf", "infinity"):
            return f"sweep.csv holds {cell}"
    for column in pq.read_table("run/sweep.parquet").columns:
        values = column.to_pylist()
        if any(isinstance(v, float) and not math.isfinite(v) for v in values):
            return f"sweep.parquet holds {values}"
    for scored in Path("run").glob("*/scored.parquet"):
        if fault := checked(None, scored, how):
            return fault
    return ""


def by_ours(rng: random.Random) -> str:
    """Score hostile texts with one of our scorers: each sample gets a verdict, in time."""
    size, words, columns = rng.randint(1, 3), *hostile_scorer(rng)
    table = {name: make(rng, size) for name, make in columns.items()}
    texts = [rng.choices(TEXTS, k=rng.randint(1, 3)) for _ in range(size)]
    table["responses"] = pa.array(texts, pa.list_(pa.string()))
    write(table)
    said = typed(
        POSTPROCESS, "input=in.parquet", "output.path=scored.parquet", "timeout_s=2", *words
    )
    if said.code == 2:
        is_told = said.err.count("\n") == 1 and said.err.startswith("rollout.postprocess: ")
        return "" if is_told and not said.complaint else f"exit 2: {said.err} {said.out[-300:]}"
    if said.code not in (0, 1) or bad_stderr(said):
        return f"{words}: exit {said.code}: {said.err} {said.out[-600:]}"
    if "scoring/" in said.out:
        return f"{words}: a traceback of ours: {said.out[-1500:]}"
    rows = pq.read_table("scored.parquet").to_pylist()
    for row in rows:
        for field in ("scores", "verdicts", "extracted", "score_errors"):
            if len(row[field]) != len(row["responses"]):
                return f"{field} of {len(row['responses'])} samples: {row[field]}"
        if odd := set(row["verdicts"]) - set(VERDICTS):
            return f"verdicts {odd}"
    return json_faults(Path())


def bad_stderr(said) -> str:
    """Return the lines of stderr that are neither progress nor our own message."""
    odd = ("Traceback", "Warning", "a bug in rollout", "unexpected ", "Exception ignored")
    return next((sign for sign in odd if sign in said.err), "")


def json_faults(directory: Path) -> str:
    """Return the JSON files there that a strict reader refuses."""

    def refuse(name):
        raise ValueError(f"{name} is not JSON")

    for path in directory.rglob("*.json*"):
        text = path.read_text()
        for part in text.splitlines() if path.suffix == ".jsonl" else [text]:
            try:
                json.loads(part, parse_constant=refuse)
            except ValueError as error:
                return f"{path}: {error}"
    return ""


def checked(said, path: Path, how: dict) -> str:
    """Return what is wrong with the scored file, its figures and the exit code."""
    if said and (said.code not in (0, 1) or bad_stderr(said)):
        return f"exit {said.code}: {said.err} {said.out[-300:]}"
    rows = pq.read_table(path).to_pylist()
    counts, figures = dict.fromkeys(VERDICTS, 0), []
    for number, row in enumerate(rows):
        wanted = [outcome(row["acts"], text, how) for text in row["responses"] or ()]
        found = list(zip(row["scores"], row["verdicts"], strict=True))
        if wanted != found:
            acts = [text and word_of(text, row["acts"]) for text in row["responses"] or ()]
            return f"row {number}, {acts}: {found}, expected {wanted}: {row['score_errors']}"
        for _, verdict in found:
            counts[verdict] += 1
        out = ("unjudged", "error") if how["leave_out"] else ("unjudged",)
        figures.append([(s or 0.0, v == "right") for s, v in found if v not in out])
        share = sum(right for _, right in figures[-1]) / len(figures[-1]) if figures[-1] else None
        if row["pass_rate"] != share:
            return f"row {number}: pass_rate {row['pass_rate']}, expected {share}"
    has_judged = counts["right"] + counts["wrong"] > 0
    is_failed = said and "prompt" in rows[0] and all(not row["responses"] for row in rows)
    if said and said.code != (0 if has_judged and not is_failed else 1):
        return f"exit {said.code}, {counts}: {said.err}"
    if fault := json_faults(path.parent):
        return fault
    told = json.loads(path.with_suffix(".json").read_text())
    group = told["groups"][0]
    for verdict, number in counts.items():
        if group[COUNTS[verdict]] != number or told[COUNTS[verdict]] != number:
            return f"{COUNTS[verdict]}: {group[COUNTS[verdict]]}, expected {number}"
    return figures_fault(group["values"], figures if has_judged else [])


def outcome(words: list[str], text: str | None, how: dict) -> tuple:
    """Return the score and verdict that a sample must get."""
    if text is None:
        return None, "unjudged"
    expected = EXPECTED[word_of(text, words)]
    if isinstance(expected, str):
        return None, expected
    return expected, "right" if expected >= how["threshold"] else "wrong"


def figures_fault(values: dict, rows: list[list[tuple[float, bool]]]) -> str:
    """Return where pass@k, mean and best@n differ from the same figures in fractions."""
    rows = [row for row in rows if row]
    for name, found in values.items():
        if name == "maj@n":
            continue
        if name.startswith("pass@"):
            k = int(name.removeprefix("pass@"))
            each = [pass_at(row, k) for row in rows if len(row) >= k]
        elif name == "mean":
            each = [sum(Fraction(s) for s, _ in row) / len(row) for row in rows]
        else:
            each = [Fraction(max(s for s, _ in row)) for row in rows]
        wanted = float(sum(each) / len(each)) if each else None
        is_same = found["value"] == wanted or (
            None not in (found["value"], wanted)
            and math.isclose(found["value"], wanted, rel_tol=1e-9, abs_tol=1e-12)
        )
        if not is_same and not (
            each and max(map(abs, each)) > 1e300 and near(each, found["value"])
        ):
            return f"{name}: {found['value']}, expected {wanted}"
        if found["num_rows"] != len(each):
            return f"{name}: over {found['num_rows']} rows, expected {len(each)}"
        if found["low"] is not None and not found["low"] <= found["high"]:
            return f"{name}: interval {found['low']} to {found['high']}"
    return ""


def near(each: list[Fraction], found: float | None) -> bool:
    """Return whether the mean agrees, up to the rounding of large values with both signs."""
    wanted = sum(each) / len(each)
    return found is not None and abs(Fraction(found) - wanted) <= max(map(abs, each)) / 10**12


def pass_at(row: list[tuple[float, bool]], k: int) -> Fraction:
    n, c = len(row), sum(right for _, right in row)
    return 1 - Fraction(math.comb(n - c, k), math.comb(n, k))

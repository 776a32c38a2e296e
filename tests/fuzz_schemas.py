"""Whatever parquet file the rollout takes, it scores and exports, and no column of it changes.

A case makes a file of random columns (views, nested, dictionary and extension types, any of which
may be the prompt, the right answer or what the table groups by), runs it with scores and an
export, types the command again, scores the output by hand, and exports the scored file once more.
"""

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from fuzz import Outcome
from random_columns import MESSAGE, random_column, random_type
from typed_in_process import POSTPROCESS, ROLLOUT, typed

NAMES = ["a", "x y", "a.b", "é", "$x", "row", "index", "text", "Answer", "k=1", "q'q", "answer"]
FORMATS = ["sft", "prompt_completion", "dpo", "grpo", "verl"]
SCORER = """
import itertools
turn = itertools.count()

def f(response, row):
    assert "responses" not in row and "id" in row
    return 1 - next(turn) % 2
"""
TEXT_KINDS = [
    pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string()),
    pa.dictionary(pa.int32(), pa.string()), pa.opaque(pa.string(), "kind", "vendor"), pa.json_(),
]  # fmt: skip
VIEWED = pa.struct([("role", pa.string_view()), ("content", pa.string_view())])
EXTRA = pa.struct([*MESSAGE, ("name", pa.large_string()), ("n", pa.list_view(pa.int8()))])
CHAT_KINDS = [
    shape(message)
    for shape in (pa.list_, pa.large_list, pa.list_view, pa.large_list_view)
    for message in (MESSAGE, VIEWED, EXTRA, pa.map_(pa.string(), pa.string_view()))
] + [pa.list_(MESSAGE, 1)]


def prompts(rng: random.Random, size: int) -> pa.Array:
    """A column of prompts, the first of them good; a few of the others can't be asked."""
    if rng.random() < 0.5:
        kind = rng.choice(TEXT_KINDS)
        values = ["hi", *rng.choices(["What is 2 + 2?", "${x} é", "", None, "a\x00b"], k=size - 1)]
        plain = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
        if pa.types.is_dictionary(kind):
            return pa.array(values).dictionary_encode().cast(kind)
        array = pa.array(values, plain)
        return array if plain == kind else pa.ExtensionArray.from_storage(kind, array)
    kind = rng.choice(CHAT_KINDS)
    chat = [{"role": "user", "content": "hi"}]
    others = [None, chat]
    if not pa.types.is_fixed_size_list(kind):
        others += [[], [{"role": "system", "content": "é"}, *chat]]
    values = [chat, *rng.choices(others, k=size - 1)]
    if pa.types.is_map(kind.value_type):
        values = [c and [list(m.items()) for m in c] for c in values]
    return pa.array(values, kind)


def table_of(rng: random.Random) -> pa.Table:
    size = rng.choice([1, 2, 5, 9])
    names = rng.sample(NAMES, rng.randint(1, 5))
    columns = {name: random_column(rng, random_type(rng), size) for name in names}
    columns |= {"prompt": prompts(rng, size), "id": pa.array(range(size))}
    order = rng.sample(list(columns), len(columns))
    fields = [
        pa.field(name, columns[name].type, columns[name].null_count > 0 or rng.random() < 0.7)
        for name in order
    ]
    fields = [f.with_metadata({"k": "v"}) if rng.random() < 0.2 else f for f in fields]
    schema = pa.schema(fields, {"mine": "kept"} if rng.random() < 0.5 else None)
    return pa.Table.from_arrays([columns[name] for name in order], schema=schema)


def case(rng: random.Random, directory: Path) -> Outcome:
    table = table_of(rng)
    try:
        pq.write_table(table, "in.parquet", row_group_size=rng.choice([1, 2, 100]))
    except pa.ArrowNotImplementedError:
        return Outcome("not written by pyarrow")
    Path("f.py").write_text(SCORER)
    given, names = pq.read_table("in.parquet"), table.column_names
    form = rng.choice(FORMATS)
    words = scoring(rng, form, names)
    said = {}
    run = ["engine=scripted", "tracking=none", "data.input=in.parquet", "run_dir=run",
           "sampling.n_samples=3", "sampling.max_tokens=4", "sampling.seed=1"]  # fmt: skip
    run += [f"postprocess.{word}" for word in words]
    said["run"] = typed(ROLLOUT, *run)
    said["again"] = typed(ROLLOUT, *run)
    said["scored by hand"] = typed(
        POSTPROCESS, "input=run/output.parquet", "output.path=scored.parquet", *words,
        "export.path=train.parquet",
    )  # fmt: skip
    other = rng.choice(FORMATS)
    keep = [word for word in scoring(rng, other, names) if not word.startswith(SCORED_BY)]
    said["exported again"] = typed(
        POSTPROCESS, "input=run/scored.parquet", *keep, "export.path=again.parquet"
    )
    for step, (code, out, err) in said.items():
        if (
            code
            or said[step].complaint
            or (step == "again" and "finished already" not in out + err)
        ):
            return Outcome(
                "broke", f"{step}, export.format={form}/{other}: exit {code}: {err} {out[-400:]}"
            )
    for path in ("run/output.parquet", "run/scored.parquet", "scored.parquet"):
        if fault := changed(given, pq.read_table(path)):
            return Outcome("changed", f"{path}: {fault}")
    for path, format in (
        ("run/train.parquet", form),
        ("train.parquet", form),
        ("again.parquet", other),
    ):
        if fault := changed_in_export(given, pq.read_table(path)):
            return Outcome("changed", f"{path} ({format}): {fault}")
    return Outcome(form)


SCORED_BY = ("scorer=", "python.", "workers=")


def scoring(rng: random.Random, form: str, names: list[str]) -> list[str]:
    """Words that score and export, by any column."""
    words = ["scorer=python", "python.function=f.py:f", "workers=1", f"export.format={form}"]
    own = {"text", "index", "prompt", "id"} if form != "grpo" else {"text", "prompt", "id"}
    free = [n for n in names if n not in own]
    kept = rng.sample(free, rng.randint(0, len(free)))
    if form in ("grpo", "verl"):
        key = rng.choice([n for n in names if n != "prompt"])
        words.append(f"export.answer_key={quoted(key)}")
        kept = [n for n in kept if n != key or form == "verl"]
        if key != "id" or form == "verl":
            kept.append("id")
    else:
        kept.append("id")
        words.append("select.finished=false")
    words.append(f"export.keep=[{','.join(map(quoted, kept))}]")
    if rng.random() < 0.7:
        groups = rng.sample(names, rng.randint(1, min(2, len(names))))
        words.append(f"estimate.group_by=[{','.join(map(quoted, groups))}]")
    return words


def quoted(name: str) -> str:
    return "'" + name.replace("'", "\\'") + "'"


def changed(given: pa.Table, found: pa.Table) -> str:
    """What differs of the input's columns; empty: nothing."""
    if found.column_names[: given.num_columns] != given.column_names:
        return f"columns {found.column_names}, expected first {given.column_names}"
    for name, value in (given.schema.metadata or {}).items():
        if (found.schema.metadata or {}).get(name) != value and name != b"ARROW:schema":
            return f"the metadata {name} is gone"
    for field in given.schema:
        if found.schema.field(field.name) != field:
            return f"{field} became {found.schema.field(field.name)}"
        if repr(found[field.name].to_pylist()) != repr(given[field.name].to_pylist()):
            return f"values of {field}"
    return ""


def changed_in_export(given: pa.Table, found: pa.Table) -> str:
    """What differs of the columns that ride along, row by row of `id`."""
    if not found.num_rows:
        return "no rows"
    ids = found["id"].to_pylist()
    for name in set(found.column_names) & set(given.column_names) - {"prompt"}:
        if found.schema.field(name).type != given.schema.field(name).type:
            return f"{given.schema.field(name)} became {found.schema.field(name)}"
        values = given[name].to_pylist()
        if repr([values[i] for i in ids]) != repr(found[name].to_pylist()):
            return f"values of {name!r}"
    return ""

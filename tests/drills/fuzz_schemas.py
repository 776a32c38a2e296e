"""Any parquet file that the rollout accepts can be scored and exported, and no column changes.

A case writes a file of random columns (views, nested, dictionary and extension types, any of which
may be the prompt, the right answer or the group of the table; or verl's layout), runs it with
scores and an export, types the command again, scores the output separately, and exports the scored
file once more.
"""

import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from fuzz import Outcome
from random_columns import random_column, random_type
from typed_in_process import POSTPROCESS, ROLLOUT, typed

from rollout.system.formats.parquet_writer import Writer

NAMES = ["a", "x y", "a.b", "é", "$x", "row", "index", "Answer", "k=1", "q'q", "answer"]
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
PLAIN = [kind for kind in TEXT_KINDS if not isinstance(kind, pa.BaseExtensionType)]
PLAIN_TEXTS = [pa.string(), pa.large_string(), pa.string_view()]
CHAT = [{"role": "user", "content": "hi"}]
LISTS = [pa.list_, pa.large_list, pa.list_view, pa.large_list_view]


def texts(kind: pa.DataType, values: list) -> pa.Array:
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, texts(kind.storage_type, values))
    if pa.types.is_dictionary(kind):
        return pa.array(values, pa.string()).dictionary_encode().cast(kind)
    return pa.array(values, kind)


SHARES = pa.struct([("from", pa.string_view()), ("value", pa.string())])
ASKED = {  # how a run builds prompts other than the column itself: the words, the column
    "json": (["data.prompt_format=json"], lambda: texts(pa.string_view(), [json.dumps(CHAT)])),
    "sharegpt": (
        ["data.prompt_format=sharegpt"],
        lambda: pa.array([[{"from": "human", "value": "hi"}]], pa.large_list_view(SHARES)),
    ),
    "system": (["data.system_prompt=Be brief."], lambda: texts(pa.string_view(), ["hi"])),
    "template": (
        ["data.template={{ prompt }} and {{ id }}"], lambda: texts(pa.large_string(), ["hi"]),
    ),
    "always": (["data.apply_chat_template=always"], lambda: texts(pa.json_(), ["hi"])),
}  # fmt: skip


def prompts(rng: random.Random, size: int) -> pa.Array:
    """Return a column of prompts. The first is good; a few of the others cannot be sent."""
    if rng.random() < 0.4:
        more = ["What is 2 + 2?", "${x} é", "", None, "a\x00b", "[1]"]
        return texts(rng.choice(TEXT_KINDS), ["hi", *rng.choices(more, k=size - 1)])
    others = [None, CHAT, [], [{"role": "system", "content": "é"}, *CHAT]]
    chats = [CHAT, *rng.choices(others, k=size - 1)]
    shape = rng.choice(LISTS)
    if rng.random() < 0.15:
        pairs = [c and [list(message.items()) for message in c] for c in chats]
        return pa.array(pairs, shape(pa.map_(pa.string(), rng.choice(PLAIN_TEXTS))))
    flat = [message for c in chats for message in c or ()]
    members = {n: texts(rng.choice(PLAIN), [m[n] for m in flat]) for n in ("role", "content")}
    if rng.random() < 0.6:
        members["name"] = texts(rng.choice(PLAIN), ["z"] * len(flat))
    if rng.random() < 0.4:
        members["more"] = random_column(rng, random_type(rng, 1), len(flat), null=0.8)
    names = rng.sample(list(members), len(members))
    messages = pa.StructArray.from_arrays([members[n] for n in names], names)
    if rng.random() < 0.15 and all(c and len(c) == 1 for c in chats):
        return pa.FixedSizeListArray.from_arrays(messages, 1)
    sizes = [len(c or ()) for c in chats]
    starts = [sum(sizes[:i]) for i in range(size + 1)]
    absent, kind = pa.array([c is None for c in chats]), shape(messages.type)
    make = {
        pa.list_: pa.ListArray, pa.large_list: pa.LargeListArray,
        pa.list_view: pa.ListViewArray, pa.large_list_view: pa.LargeListViewArray,
    }[shape]  # fmt: skip
    at = pa.int64() if "large" in str(kind)[:10] else pa.int32()
    if shape in LISTS[:2]:
        return make.from_arrays(pa.array(starts, at), messages, type=kind, mask=absent)
    views = pa.array(starts[:-1], at), pa.array(sizes, at)
    return make.from_arrays(*views, messages, type=kind, mask=absent)


def verl_columns(rng: random.Random, size: int) -> dict[str, pa.Array]:
    """Return the columns that an input in verl's layout has besides its prompts."""
    style = texts(rng.choice(PLAIN), ["rule"] * size)
    truth = texts(rng.choice(PLAIN), ["4"] * size)
    extra = {"index": pa.array(range(size)), "x": random_column(rng, random_type(rng, 1), size)}
    if rng.random() < 0.5:
        extra["pass_rate"] = random_column(rng, random_type(rng, 1), size)
    return {
        "data_source": texts(rng.choice(PLAIN), ["openai/gsm8k"] * size),
        "ability": texts(rng.choice(PLAIN), ["math"] * size),
        "reward_model": pa.StructArray.from_arrays([style, truth], ["style", "ground_truth"]),
        "extra_info": pa.StructArray.from_arrays(list(extra.values()), list(extra)),
    }


def table_of(rng: random.Random, asked: str) -> pa.Table:
    size = rng.choice([1, 2, 5, 9, 70])
    prompt = pa.concat_arrays([ASKED[asked][1]()] * size) if asked else prompts(rng, size)
    names = rng.sample(NAMES, rng.randint(1, 5))
    columns = {name: random_column(rng, random_type(rng), size) for name in names}
    if rng.random() < 0.2:
        columns |= verl_columns(rng, size)
    columns |= {"prompt": prompt, "id": pa.array(range(size))}
    order = rng.sample(list(columns), len(columns))
    fields = [
        pa.field(name, columns[name].type, columns[name].null_count > 0 or rng.random() < 0.7)
        for name in order
    ]
    fields = [f.with_metadata({"k": "v"}) if rng.random() < 0.2 else f for f in fields]
    schema = pa.schema(fields, {"mine": "kept"} if rng.random() < 0.5 else None)
    return pa.Table.from_arrays([columns[name] for name in order], schema=schema)


def write(table: pa.Table, rows_per_group: int) -> None:
    """Write the file; types that pyarrow cannot write (views) as their plain types."""
    try:
        pq.write_table(table, "in.parquet", row_group_size=rows_per_group)
    except pa.ArrowNotImplementedError:
        with Writer("in.parquet", table.schema) as writer:
            writer.write_table(table, rows_per_group)


def case(rng: random.Random, directory: Path) -> Outcome:
    asked = rng.choice([*ASKED]) if rng.random() < 0.3 else ""
    table = table_of(rng, asked)
    write(table, rng.choice([1, 2, 100]))
    Path("f.py").write_text(SCORER)
    given = pq.read_table("in.parquet")
    if given.schema.types != table.schema.types:
        return Outcome("changed", f"written: {table.schema} read: {given.schema}")
    form = rng.choice(FORMATS)
    words = scoring(rng, form, given)
    said = {}
    run = ["engine=scripted", "tracking=none", "data.input=in.parquet", "run_dir=run",
           "sampling.n_samples=3", "sampling.max_tokens=4", "sampling.seed=1"]  # fmt: skip
    run += ASKED[asked][0] if asked else []
    run += [f"postprocess.{word}" for word in words]
    said["run"] = typed(ROLLOUT, *run)
    said["again"] = typed(ROLLOUT, *run)
    said["scored by hand"] = typed(
        POSTPROCESS, "input=run/output.parquet", "output.path=scored.parquet", *words,
        "export.path=train.parquet",
    )  # fmt: skip
    other = rng.choice(FORMATS)
    keep = [word for word in scoring(rng, other, given) if not word.startswith(SCORED_BY)]
    said["exported again"] = typed(
        POSTPROCESS, "input=run/scored.parquet", *keep, "export.path=again.parquet"
    )
    for step, told in said.items():
        is_stale = step == "again" and "finished already" not in told.out
        if told.code or told.complaint or is_stale:
            what = f"{step}, export.format={form}/{other}: exit {told.code}"
            return Outcome("broke", f"{what}: {told.err} {told.out[-400:]}")
    for path in ("run/output.parquet", "run/scored.parquet", "scored.parquet"):
        if fault := changed(given, pq.read_table(path)):
            return Outcome("changed", f"{path}: {fault}")
    exports = {"run/train.parquet": form, "train.parquet": form, "again.parquet": other}
    for path, name in exports.items():
        if fault := changed_in_export(given, pq.read_table(path), "" if asked else name):
            return Outcome("changed", f"{path} ({name}): {fault}")
    return Outcome(form)


SCORED_BY = ("scorer=", "python.", "workers=")


def scoring(rng: random.Random, form: str, table: pa.Table) -> list[str]:
    """Return words that score and export, by any column."""
    names = table.column_names
    words = ["scorer=python", "python.function=f.py:f", "workers=1", f"export.format={form}"]
    in_verl = {"data_source", "ability", "reward_model", "extra_info"} if form == "verl" else set()
    kept = [n for n in names if n not in {"prompt", "id", *in_verl} and rng.random() < 0.5]
    key = "id"
    if form in ("grpo", "verl"):
        full = [n for n in names if table[n].slice(0, 1).null_count == 0]
        key = rng.choice([n for n in full if n != "prompt"])
        words.append(f"export.answer_key={quoted(key)}")
    if form == "grpo":
        kept = [n for n in ("id", *kept) if n != key]
    else:
        kept.append("id")
    if form in ("sft", "prompt_completion", "dpo"):
        words.append("select.finished=false")
    words.append(f"export.keep=[{','.join(map(quoted, kept))}]")
    if rng.random() < 0.7:
        groups = rng.sample(names, rng.randint(1, min(2, len(names))))
        words.append(f"estimate.group_by=[{','.join(map(quoted, groups))}]")
    return words


def quoted(name: str) -> str:
    return "'" + name.replace("'", "\\'") + "'"


def changed(given: pa.Table, found: pa.Table) -> str:
    """Return the differences in the input's columns; empty if there are none."""
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


def changed_in_export(given: pa.Table, found: pa.Table, form: str) -> str:
    """Return the differences in the columns that are copied, row by row of `id`."""
    if not found.num_rows:
        return "no rows"
    ids = found["id"].to_pylist()
    own = {"prompt", "completion", "chosen", "rejected", "messages", "text", "score"}
    if "reward_model" in found.column_names:  # verl's layout has these in its own types
        own |= {"data_source", "ability", "reward_model", "extra_info"}
    for name in set(found.column_names) & set(given.column_names) - own:
        if found.schema.field(name).type != given.schema.field(name).type:
            return f"{given.schema.field(name)} became {found.schema.field(name)}"
        values = given[name].to_pylist()
        if repr([values[i] for i in ids]) != repr(found[name].to_pylist()):
            return f"values of {name!r}"
    if form == "verl":
        return changed_members(given, found, ids)
    if form == "grpo" and repr(plain(given["prompt"], ids)) != repr(plain(found["prompt"])):
        return "prompts"
    return ""


def plain(column: pa.ChunkedArray, rows: list[int] | None = None) -> list:
    """Return the role and content of each message; texts as they are."""
    values = column.to_pylist()
    values = values if rows is None else [values[i] for i in rows]
    kept = ("role", "content")
    return [v if isinstance(v, str) else [[dict(m)[k] for k in kept] for m in v] for v in values]


def changed_members(given: pa.Table, found: pa.Table, ids: list[int]) -> str:
    """Return the differences within the input's structs of verl's layout."""
    ours = {"ground_truth", "pass_rate"}
    for name in {"reward_model", "extra_info"} & set(given.column_names):
        kinds = {f.name: f.type for f in given.schema.field(name).type if f.name not in ours}
        for member, kind in kinds.items():
            if found.schema.field(name).type.field(member).type != kind:
                return f"{name}.{member}: {kind} became {found.schema.field(name)}"
            values = [row[member] for row in given[name].to_pylist()]
            after = [row[member] for row in found[name].to_pylist()]
            if repr([values[i] for i in ids]) != repr(after):
                return f"values of {name}.{member}"
    return ""

"""Sources to prepare, in all formats, with faults among good rows, and the expected rows."""

import csv
import gzip
import io
import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

TEXTS = (
    "What is 1+1?", "Zoë 🙂?", 'a "b" c', "two\nlines", "a\r\nb", "\u2028 and \u2029", "nul \0",
    "back\\slash", "{{ q }} ${y}", "0", "007", " spaces ", "\ufeffmark", "null", "[1", "日本",
    "a,b",
)  # fmt: skip
CHAT = [{"role": "system", "content": "S."}, {"role": "user", "content": "Hi"}]
NO_PROMPTS = (None, "", 5, 0.5, True, {"a": 1}, [], [1], [None], ["x"], [{"role": "user"}], [[]])
VALUES = (
    1, -3, 0, 2**53 + 1, 2**63, 10**30, 0.1, -0.5, 1e22, 5e-324, True, False, None, "x", "", "1",
    [], [1, 2], [1, "a"], [None], {}, {"k": 1}, {"k": "v", "l": [1.5]}, {"k": {"m": None}}, "\0",
)  # fmt: skip
BAD_JSON = {
    "a key twice": '"q": "b"',
    "a key twice within": '"x": {"k": 1, "k": 1}',
    "beyond a float": '"x": 1e400',
    "within": '"x": [{"k": -1e999}]',
    "NaN": '"x": NaN',
    "Infinity": '"x": [-Infinity]',
    "digits": '"x": 12345678901234567890.0',
    "an underflow": '"x": 1e-999',
    "half a pair": '"x": "\\ud800"',
    "half a pair in a key": '"\\udfff": 1',
    "a byte": '"x": "\udcff"',
    "a byte in a key": '"x\udcc3": 1',
    "a control character": '"x": "\x01"',
    "a long number": '"x": 1' + "0" * 5000,
}
NO_ROWS = ("3", '"x"', "null", "true", "[1]", "0.5")


@dataclass
class Case:
    """A source: its rows, and the row expected from each; None for a bad row."""

    path: Path
    rows: list[dict[str, Any] | None]
    prompts: list[Any]
    words: list[str]
    where: list[str]  # how a message names each row
    is_cells: bool = False
    twice: frozenset[int] = frozenset()  # rows whose prompt an earlier one has


def asked(prompt: Any) -> Any:
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt


def json_source(rng: random.Random, directory: Path) -> Case:
    """Return objects, one per line or in a list; the first is good."""
    is_list, is_template = rng.random() < 0.4, rng.random() < 0.3
    texts, rows, prompts = [], [], []
    names = rng.sample(["x", "y", "z"], rng.randint(0, 3))
    kinds = {name: rng.sample(VALUES, rng.randint(1, 4)) for name in names}
    faultiness = rng.choice([0, 0, 0.1, 0.4])
    for number in range(rng.choice([1, 5, 40, 1500])):
        row = {"q": rng.choice(TEXTS)}
        row |= {name: rng.choice(kinds[name]) for name in names if rng.random() < 0.9}
        prompt = row["q"] if is_template else asked(row["q"])
        is_bad = number and rng.random() < faultiness
        fault = rng.choice(["value", "value", "json", "json", "row", "cut"]) if is_bad else ""
        if not is_template and rng.random() < 0.05 and not fault and number:
            row["q"] = prompt = CHAT
        if fault == "value":
            row["q"], prompt = rng.choice(NO_PROMPTS), None
            if is_template and not isinstance(row["q"], list | dict | str | None):
                prompt = str(row["q"])
        text = json.dumps(row, ensure_ascii=rng.random() < 0.5)
        if fault == "json":
            text, prompt = f"{text[:-1]}, {rng.choice(list(BAD_JSON.values()))}}}", None
        elif fault == "row":
            text, prompt = rng.choice(NO_ROWS), None
        elif fault == "cut" and not is_list:
            text, prompt = text[: rng.randint(1, len(text) - 1)], None
        texts.append(text)
        rows.append(row)
        prompts.append(prompt)
    if is_list and len(texts) > 2 and faultiness and rng.random() < 0.3:
        place = rng.randrange(1, len(texts))
        texts[place] = rng.choice(["\udcfe{}", "{}\udcff "]).format(texts[place])
        prompts[place] = None
    end = rng.choice(["\n", "\r\n", "\n\n"])
    body = "[" + f",{end}".join(texts) + "]" if is_list else end.join(texts) + rng.choice(["", end])
    step = end.count("\n")
    path = written(rng, directory / ("in.json" if is_list else "in.jsonl"), body)
    where = [f"{path}, line {1 + i * step}" for i in range(len(texts))]
    words = ["template={{ q }}", "prompt_format=text"] if is_template else ["prompt_column=q"]
    return Case(path, rows, prompts, words, where)


def written(rng: random.Random, path: Path, text: str) -> Path:
    data = text.encode("utf-8", "surrogateescape")
    data = b"\xef\xbb\xbf" * (rng.random() < 0.2) + data
    kind = rng.choice(["", "", ".gz", ".zst"])
    path = path.with_name(path.name + kind)
    if kind == ".gz":
        data = gzip.compress(data)
    elif kind == ".zst":
        with pa.CompressedOutputStream(str(path), "zstd") as file:
            file.write(data)
        return path
    path.write_bytes(data)
    return path


CELLS = ("1", "-7", "0.5", "", "x", "007", "1e5", "nan", "9007199254740993", "a\tb", "Zoë", '"q"')


def csv_source(rng: random.Random, directory: Path) -> Case:
    delimiter, suffix = rng.choice([(",", "csv"), ("\t", "tsv")])
    end = rng.choice(["\n", "\r\n"])
    lines, rows, prompts, where = [], [], [], []
    cells = rng.sample(CELLS, rng.randint(1, 4))
    line, faultiness = 2, rng.choice([0, 0.1, 0.4])
    for number in range(rng.choice([1, 5, 40, 1500])):
        # A text that begins like the end of a cell would hide where an open quote before it ends.
        row = {"q": rng.choice([t for t in TEXTS if "\r" not in t]), "n": rng.choice(cells)}
        row["q"] = row["q"] if number else TEXTS[0]  # a column of numbers holds no prompts
        text, prompt = csv_line(row.values(), delimiter), asked(row["q"])
        if number and rng.random() < faultiness:
            prompt = None
            text = rng.choice([
                f"only{delimiter}", f"a{delimiter}b{delimiter}c", f'a{delimiter}"open',
                f'"a"b{delimiter}c', f"\udcff{delimiter}1", f"a{delimiter}\udce9",
                f'""{delimiter}1',
            ])  # fmt: skip
            if text == f"only{delimiter}":
                text = "only"
        lines.append(text)
        where.append(f"in.{suffix}, line {line}")
        line += text.count("\n") + 1
        rows.append(row)
        prompts.append(prompt)
    path = directory / f"in.{suffix}"
    body = f"q{delimiter}n{end}" + end.join(lines) + end
    path.write_bytes(body.encode("utf-8", "surrogateescape"))
    return Case(path, rows, prompts, ["prompt_column=q"], where, is_cells=True)


def csv_line(cells: Any, delimiter: str) -> str:
    stream = io.StringIO()
    csv.writer(stream, delimiter=delimiter, lineterminator="\n").writerow(cells)
    return stream.getvalue().removesuffix("\n")


def table_source(rng: random.Random, directory: Path) -> Case:
    """Make a table as Parquet, Arrow or saved by `datasets`, with null, empty or bad texts."""
    number = rng.choice([1, 5, 40, 3000])
    choices = ["good"] * 6 + rng.choice([[], ["null", "empty", "bytes"]])
    kinds = ["good", *(rng.choice(choices) for _ in range(number - 1))]
    texts = [rng.choice(TEXTS) for _ in kinds]
    raw = {"null": None, "empty": b"", "bytes": b"a\xff"}
    cells = [text.encode() if k == "good" else raw[k] for k, text in zip(kinds, texts, strict=True)]
    binary = pa.array(cells, pa.binary())
    buffers = binary.buffers()
    column = pa.StringArray.from_buffers(len(cells), buffers[1], buffers[2], buffers[0])
    values = [{"k": i, "l": [str(i)] * (i % 3)} for i in range(number)]
    table = pa.table({"q": column, "x": values})
    prompts = [asked(t) if k == "good" else None for k, t in zip(kinds, texts, strict=True)]
    rows = [{"x": value} for value in values]
    kind = rng.choice(["parquet", "arrow", "stream", "saved"])
    path = directory / {"parquet": "in.parquet", "saved": "saved"}.get(kind, "in.arrow")
    if kind == "parquet":
        pq.write_table(table, path, row_group_size=rng.choice([7, 1000]))
    elif kind == "saved":
        import datasets

        datasets.disable_progress_bars()
        datasets.Dataset(table).save_to_disk(path)
    else:
        make = pa.ipc.new_file if kind == "arrow" else pa.ipc.new_stream
        with make(str(path), table.schema) as writer:
            writer.write_table(table, max_chunksize=rng.choice([5, 1000]))
    where = [f"{path}, row {i}" for i in range(number)]
    return Case(path, rows, prompts, ["prompt_column=q"], where)


def batch_source(rng: random.Random, directory: Path) -> Case:
    texts, rows, prompts = [], [], []
    for number in range(rng.choice([1, 5, 40])):
        body: Any = {"model": "m", "messages": CHAT, "temperature": 0.5}
        prompt: Any = CHAT
        if number and rng.random() < 0.3:
            prompt = None
            body = rng.choice([
                {"model": "m"}, {"messages": "Hi"}, {"messages": []}, None, 5, "{", "[]",
                {"messages": [5]}, {"messages": [{"role": "user"}]},
                '{"messages": [], "messages": 1}',
            ])  # fmt: skip
        elif rng.random() < 0.1:
            body = json.dumps(body)
        texts.append(json.dumps({"custom_id": f"r{number}", "body": body}))
        rows.append({"custom_id": f"r{number}"})
        prompts.append(prompt)
    path = written(rng, directory / "in.jsonl", "\n".join(texts))
    where = [f"{path}, line {i}" for i in range(1, len(texts) + 1)]
    return Case(path, rows, prompts, [], where)


def sharegpt_source(rng: random.Random, directory: Path) -> Case:
    texts, rows, prompts = [], [], []
    for number in range(rng.choice([1, 5, 40])):
        said = rng.choice(TEXTS)
        turns: Any = [{"from": "human", "value": said}]
        prompt: Any = asked(said)
        if number and rng.random() < 0.3:
            prompt = None
            turns = rng.choice([
                [], None, 5, "Hi[", [{"from": "alien", "value": "x"}],
                [{"from": "human", "value": 3}],
                [5], [{"from": "function_call", "value": '{"name": "f", "name": "g"}'}],
                [*turns, {"from": "gpt", "value": "an answer"}],
            ])  # fmt: skip
            if turns == "Hi[":
                prompt = asked(turns)
        texts.append(json.dumps({"id": number, "conversations": turns}))
        rows.append({"id": number})
        prompts.append(prompt)
    path = written(rng, directory / "in.jsonl", "\n".join(texts))
    where = [f"{path}, line {i}" for i in range(1, len(texts) + 1)]
    return Case(path, rows, prompts, ["prompt_column=conversations"], where)


MAKERS = (*[json_source] * 3, csv_source, table_source, batch_source, sharegpt_source)

"""python -m rollout.prepare: what prompts are made of, what is refused, what is kept."""

import gzip
import json
import os
import subprocess
import sys
import time
from dataclasses import replace

import psutil
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from processes import environment

from rollout.config.compose import compose
from rollout.config.sections.data import Data
from rollout.config.sections.prepare import (
    FileFormat,
    MadeOf,
    OnBadRow,
    Prepare,
)
from rollout.errors import UserError
from rollout.inputs.prompts import open_prompts
from rollout.prepare.__main__ import HELP, main
from rollout.prepare.prepare import is_made_by, prepare
from rollout.prepare.sources.source import Tally
from rollout.prepare.spool import Spool
from rollout.runs.workflow import with_prompts
from rollout.system.console import Console

ROWS = [
    {"question": "What is 1+1?", "answer": "2", "level": 1},
    {"question": "Zoë 🙂?", "answer": "007", "level": 5},
    {"question": "a, \"b\"\nc", "answer": "x", "level": 3},
]  # fmt: skip


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lines(rows, name="in.jsonl"):
    with open(name, "w", encoding="utf-8") as file:  # noqa: PTH123
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return name


def made(here, source, **more):
    """The rows that come out."""
    settings = Prepare(source=source, **more)
    result = prepare(settings, here / "out.parquet", Console(quiet=True), here)
    return [row for path in result.paths for row in pq.read_table(path).to_pylist()]


def prompts(here, source, **more):
    more.setdefault("prompt_format", MadeOf.text)
    return [row["prompt"] for row in made(here, source, **more)]


def refusal(here, source, **more):
    with pytest.raises(UserError) as caught:
        made(here, source, **more)
    assert "\n" not in str(caught.value)
    assert not list(here.glob("out*")) + list(here.glob(".*"))
    return str(caught.value)


def as_files():
    table = pa.Table.from_pylist(ROWS)
    lines(ROWS)
    with gzip.open("in.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in ROWS)
    with pa.CompressedOutputStream("in.jsonl.zst", "zstd") as file:
        file.write("\n".join(map(json.dumps, ROWS)).encode())
    with open("in.json", "w", encoding="utf-8") as file:  # noqa: PTH123
        json.dump(ROWS, file, indent=2)
    pcsv.write_csv(table, "in.csv")
    pq.write_table(table, "in.parquet")
    pyarrow.feather.write_feather(table, "in.feather")
    with pa.ipc.new_stream("in.arrow", table.schema) as writer:
        writer.write_table(table)
    return ["in.jsonl", "in.jsonl.gz", "in.jsonl.zst", "in.json", "in.csv", "in.parquet",
            "in.feather", "in.arrow"]  # fmt: skip


def test_every_format_gives_the_same_rows(here):
    for name in as_files():
        found = made(here, name, prompt_column="question")
        (here / "out.parquet").unlink()
        wanted = [{"prompt": [{"role": "user", "content": row["question"]}], **row} for row in ROWS]
        assert found == wanted, name


def test_a_glob_and_a_directory_read_all_files_in_order(here):
    (here / "d").mkdir()
    for name, row in zip(("b", "a", "c"), ROWS, strict=True):
        lines([row], f"d/{name}.jsonl")
    for source in ("d", "d/*.jsonl"):
        found = prompts(here, source, template="{{ level }}")
        (here / "out.parquet").unlink()
        assert found == ["5", "1", "3"]


def test_what_datasets_saved_is_read_with_its_splits_and_its_order(here):
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_list(ROWS)
    datasets.DatasetDict({"train": rows.select([2, 0]), "test": rows}).save_to_disk("saved")
    train = prompts(here, "saved", split="train", prompt_column="answer")
    assert train == ["x", "2"]
    (here / "out.parquet").unlink()
    assert "splits train, test. Did you mean 'train'?" in refusal(
        here, "saved", split="trian", prompt_column="answer"
    )


def test_a_hub_dataset_is_streamed(here, monkeypatch):
    datasets = pytest.importorskip("datasets")
    asked = {}

    def load_dataset(*words, **more):
        asked.update(more)
        rows = datasets.Dataset.from_list(ROWS).to_iterable_dataset()
        return datasets.IterableDatasetDict({"train": rows})

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    found = made(here, "org/name", prompt_column="question", revision="v1", limit=2)
    assert asked == {"split": None, "revision": "v1", "streaming": True}
    assert [row["level"] for row in found] == [1, 5]


def test_a_run_reads_what_was_made(here):
    made(here, lines(ROWS), template="{{ question }}", system="Level {{ level }}.")
    found = [prompt.content for prompt in open_prompts(Data(input="out.parquet"), here)]
    assert found[0] == [
        {"role": "system", "content": "Level 1."},
        {"role": "user", "content": "What is 1+1?"},
    ]


def test_chats_are_kept_as_they_are_and_a_system_message_of_their_own_stands(here):
    chats = [
        [{"role": "user", "content": "Hi", "name": "Zoë"}],
        [
            {"role": "system", "content": "Own.", "name": None},
            {"role": "user", "content": "Hi", "name": None},
        ],
    ]
    pq.write_table(pa.table({"prompt": chats}), "in.parquet")
    assert prompts(here, "in.parquet", prompt_format=MadeOf.chat) == chats
    (here / "out.parquet").unlink()
    first, second = prompts(here, "in.parquet", prompt_format=MadeOf.chat, system="Ours.")
    assert first[0] == {"role": "system", "content": "Ours.", "name": None}
    assert [m["content"] for m in second] == ["Own.", "Hi"]


def test_examples_stand_before_each_prompt(here):
    lines([{"question": "1?", "answer": 1}, {"question": "2?", "answer": 2}], "shots.jsonl")
    more = {"template": "Q: {{ question }}", "few_shot": "shots.jsonl", "num_few_shot": 1}
    chat = prompts(here, lines(ROWS), prompt_format=MadeOf.chat, **more)[0]
    assert [(m["role"], m["content"]) for m in chat] == [
        ("user", "Q: 1?"), ("assistant", "1"), ("user", "Q: What is 1+1?")
    ]  # fmt: skip
    (here / "out.parquet").unlink()
    assert prompts(here, "in.jsonl", system="S", **more)[0] == "S\n\nQ: 1? 1\n\nQ: What is 1+1?"


def test_prompts_with_examples_stand_beside_the_same_without_them(here):
    shots = lines([{"question": "1?", "answer": 1}], "shots.jsonl")
    more = {"prompt_column": "question", "few_shot": shots, "system": "S", "keep": ["level"]}
    row = made(here, lines(ROWS), **more)[0]
    assert list(row) == ["prompt", "prompt_zero_shot", "level"]
    assert row["prompt_zero_shot"] == [row["prompt"][0], row["prompt"][-1]]
    (here / "out.parquet").unlink()
    row = made(here, "in.jsonl", **more, prompt_format=MadeOf.text, prompt_key="q")[0]
    assert row["q_zero_shot"] == "S\n\nWhat is 1+1?"


def test_prompts_without_examples_of_another_file_do_not_stay_beside_new_prompts(here):
    old = {"prompt": "Q", "prompt_zero_shot": "q", "answer": 1}
    assert list(made(here, lines([old]))[0]) == ["prompt", "prompt_zero_shot", "answer"]
    (here / "out.parquet").unlink()
    assert list(made(here, "in.jsonl", system="S")[0]) == ["prompt", "answer"]
    (here / "out.parquet").unlink()
    new = made(here, "in.jsonl", few_shot="in.jsonl")[0]
    assert new["prompt_zero_shot"] == [{"role": "user", "content": "Q"}]


def test_filter_limit_keep_and_rename_choose_rows_and_columns(here):
    found = made(
        here, lines(ROWS), template="{{ question }}", filter="level > 1", limit=1,
        rename={"gold": "answer"}, keep=["gold"], prompt_format=MadeOf.text,
    )  # fmt: skip
    assert found == [{"prompt": "Zoë 🙂?", "gold": "007"}]


def test_a_template_may_use_the_new_name_of_a_column(here):
    source = lines([{"the question": "Why?", "answer": "x"}])
    more = {"rename": {"q": "the question"}, "few_shot": source}
    assert prompts(here, source, template="{{ q }}", **more) == ["Why? x\n\nWhy?"]


def test_of_equal_prompts_the_first_stays(here):
    source = lines([*ROWS, {**ROWS[0], "level": 9}])
    found = made(here, source, template="{{ question }}", deduplicate=True)
    assert [row["level"] for row in found] == [1, 5, 3]


def test_shuffle_sample_and_splits_are_repeatable_and_lose_nothing(here):
    source = lines([{"q": str(i)} for i in range(5000)])

    def drawn(**more):
        found = prompts(here, source, template="{{ q }}", **more)
        for path in here.glob("out*.parquet"):
            path.unlink()
        return [int(text) for text in found]

    shuffled = drawn(shuffle=True, seed=1)
    assert sorted(shuffled) == list(range(5000)) != shuffled
    assert drawn(shuffle=True, seed=1) == shuffled != drawn(shuffle=True, seed=2)
    sample = drawn(sample=100)
    assert len(set(sample)) == 100 and sample == sorted(sample) and sample[-1] > 4000
    splits = drawn(splits={"train": 0.9, "test": 0.1})
    assert sorted(splits) == list(range(5000))
    assert splits[:4500] == sorted(splits[:4500]) and splits[4500:] == sorted(splits[4500:])


def test_splits_are_files_beside_each_other(here):
    made(here, lines(ROWS), prompt_column="question", splits={"a": 2 / 3, "b": 1 / 3})
    sizes = {path.name: pq.read_metadata(path).num_rows for path in here.glob("out*")}
    assert sizes == {"out-a.parquet": 2, "out-b.parquet": 1}


def test_the_spool_gives_rows_of_every_type_in_any_order(here):
    columns = {
        "n": pa.array([1, 2, None]),
        "s": pa.array(["a", None, "ccc"], pa.string_view()),
        "d": pa.array(["x", "y", "x"]).dictionary_encode(),
        "l": pa.array([[{"a": 1}], [], None]),
    }
    batch = pa.RecordBatch.from_pydict(columns)
    with Spool(batch.schema, here) as spool:
        spool.fill(iter([batch, batch]))
        found = pa.Table.from_batches(spool.take([5, 0, 4, 1, 3, 2])).to_pylist()
    rows = batch.to_pylist() * 2
    assert found == [rows[i] for i in (5, 0, 4, 1, 3, 2)]
    assert not list(here.iterdir())


def test_ragged_rows_keep_every_value(here):
    rows = [{"q": "a", "x": 1, "m": {"k": 1}}] * 2000
    rows += [{"q": "b", "x": "one", "m": {"k": 2, "new": "v"}, "late": [1.5]}, {"q": "c", "e": {}}]
    found = made(here, lines(rows), prompt_column="q", keep=["x", "m", "late", "e"])
    assert [row["x"] for row in found[-3:]] == ["1", "one", None]
    assert found[-2]["m"] == {"k": 2, "new": "v"} and found[-2]["late"] == [1.5]
    assert found[-1]["e"] == "{}" and found[0]["e"] is None


def test_what_parquet_has_no_room_for_becomes_json_text(here):
    deep = json.loads("[" * 200 + "1" + "]" * 200)
    wide = [{"q": "a", "wide": {f"k{i}": i}, "deep": deep} for i in range(300)]
    found = made(here, lines(wide), prompt_column="q")
    assert [json.loads(row["wide"]) for row in found] == [row["wide"] for row in wide]
    assert json.loads(found[0]["deep"]) == deep


def test_large_integers_are_never_rounded(here):
    numbers = [2**60 + 1, 0.5, 2**70]
    found = made(here, lines([{"q": "a", "n": n} for n in numbers]), prompt_column="q")
    assert [json.loads(row["n"]) for row in found] == numbers


def test_cells_of_csv_become_numbers_only_where_that_loses_nothing(here):
    (here / "in.csv").write_text("q,a,b,c\nx,1,0.5,007\ny,,1.5,8\n")
    found = made(here, "in.csv", prompt_column="q", keep=["a", "b", "c"])
    assert [(r["a"], r["b"], r["c"]) for r in found] == [(1, 0.5, "007"), (None, 1.5, "8")]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('{"q": "a"}\n\n{"q": \n', "in.jsonl, line 3: this line is no JSON"),
        ('{"q": "a"}\n[1]', "line 2: this line is no JSON"),
        ('{"q": "a"}\n3', "line 2: a row is a JSON object, not 3"),
        ('{"q": "\\ud83d"}', "line 1: this line's JSON escapes half a surrogate pair"),
        ("", "has no rows"),
        ("\n\n", "has no rows"),
    ],
)
def test_a_bad_line_is_named(here, text, wanted):
    (here / "in.jsonl").write_text(text)
    if "[1]" in text:
        wanted = "line 2: a row is a JSON object, not [1]"
    assert wanted in refusal(here, "in.jsonl", prompt_column="q")


def test_bad_rows_are_skipped_and_counted(here):
    (here / "in.jsonl").write_text('{"q": "a"}\n{"q":\n{"q": null}\n{"q": "b"}\n')
    settings = Prepare(source="in.jsonl", prompt_column="q", on_error=OnBadRow.skip)
    result = prepare(settings, here / "out.parquet", Console(quiet=True), here)
    assert (result.tally.num_read, result.tally.num_bad, result.tally.num_written) == (4, 2, 2)
    assert "bad, skipped         2" in str(result)


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ({"template": "{{ qestion }}"}, "template names qestion: "),
        ({"template": "{{ question"}, "template is no Jinja template"),
        ({"template": "{{ question.x.y }}"}, "in.jsonl, line 1: template fails on this row"),
        ({"prompt_column": "anser"}, "Did you mean 'answer'?"),
        ({"prompt_column": "level"}, "neither strings nor chats"),
        ({}, "type prompt_column=question, or template="),
        ({"prompt_column": "question", "filter": "level > 9"}, "3 left out by filter"),
        ({"prompt_column": "question", "filter": "level >"}, "filter=level > is no Jinja"),
        ({"prompt_column": "question", "filter": "levl"}, "Did you mean 'level'?"),
        ({"prompt_column": "question", "keep": ["x"]}, "keep=x: there are columns"),
        ({"prompt_column": "question", "rename": {"a": "x"}}, "rename.a=x"),
        ({"prompt_column": "question", "splits": {"a": 0.5}}, "splits add up to 0.5"),
        ({"prompt_column": "question", "few_shot": "no.jsonl"}, "few_shot=no.jsonl does not"),
        ({"prompt_column": "question", "task": "x"}, "task=x is reasoning_gym's"),
        ({"template": "{{ ''.__class__.mro() }}{{ question }}"}, "line 1: template fails"),
    ],
)  # fmt: skip
def test_what_can_not_be_is_refused_and_nothing_is_left(here, more, wanted):
    assert wanted in refusal(here, lines(ROWS), **more)


def test_a_source_that_is_not_there_is_refused_with_what_is_near(here):
    lines(ROWS)
    assert "Did you mean 'in.jsonl'?" in refusal(here, "im.jsonl")
    (here / "in.txt").write_text("x")
    assert "says no format" in refusal(here, "in.txt")
    assert "is not a parquet file" in refusal(here, "in.jsonl", format=FileFormat.parquet)
    (here / "d").mkdir()
    assert "a directory without any of" in refusal(here, "d")


def test_an_output_is_never_the_source_and_never_replaced_unasked(here):
    pq.write_table(pa.table({"prompt": ["a"]}), "out.parquet")
    os.link("out.parquet", "in.parquet")
    before = (here / "out.parquet").read_bytes()
    settings = Prepare(source="in.parquet")
    for settings.output.overwrite in (False, True):
        with pytest.raises(UserError, match="is what source names"):
            prepare(settings, here / "out.parquet", Console(quiet=True), here)
    assert (here / "out.parquet").read_bytes() == before


def test_a_file_says_how_it_was_made_until_its_source_changes(here):
    source = lines(ROWS)
    made(here, source, prompt_column="question")
    settings = Prepare(source=source, prompt_column="question")
    assert is_made_by(here / "out.parquet", settings)
    assert not is_made_by(here / "out.parquet", Prepare(source=source, prompt_column="answer"))
    assert not is_made_by(here / source, settings)
    lines(ROWS[:1])
    assert not is_made_by(here / "out.parquet", settings)


@pytest.mark.parametrize("more", [{"splits": {"a": 1.0}}, {"preview": True}])
def test_a_run_takes_one_file_of_prompts(here, more):
    settings = compose({"prepare.source": lines(ROWS), "model.model_path": "x"})
    wanted = Prepare(source="in.jsonl", prompt_column="question", **more)
    with pytest.raises(UserError, match="a run"):
        with_prompts(replace(settings, prepare=wanted), Console(quiet=True), here)
    assert [path.name for path in here.iterdir()] == ["in.jsonl"]


def test_a_preview_shows_prompts_and_writes_nothing(here, capsys):
    source = lines([{"q": "\x1b[31m one \n two"}])
    with pytest.raises(SystemExit) as ended:
        main([f"source={source}", "template=Say: {{ q }}", "preview=true"])
    out = capsys.readouterr().out
    assert ended.value.code == 0 and "\x1b" not in out
    assert "user       Say: \\x1b[31m one two" in out and "nothing was written" in out
    assert [path.name for path in here.iterdir()] == [source]


def test_the_words_typed_make_the_file_and_the_next_command_is_told(here, capsys):
    with pytest.raises(SystemExit) as ended:
        main([f"source={lines(ROWS)}", "prompt_column=question", "output.path=new/p.parquet"])
    out = capsys.readouterr().out
    assert ended.value.code == 0
    assert f"next: python -m rollout data.input={here}/new/p.parquet" in out
    assert pq.read_schema("new/p.parquet").names == ["prompt", "question", "answer", "level"]


def test_help_fits_a_screen():
    text = HELP.splitlines()
    assert len(text) <= 40 and max(map(len, text)) <= 100


def test_a_preparation_that_is_stopped_leaves_nothing(here):
    rows = [{"q": "x" * 100}] * 200_000
    words = [f"source={lines(rows)}", "template={{ q }}", "output.path=out.parquet", "shuffle=true"]
    process = subprocess.Popen(
        [sys.executable, "-m", "rollout.prepare", *words], env=environment(),
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    child = psutil.Process(process.pid)
    while not any(file.path.endswith("in.jsonl") for file in child.open_files()):
        time.sleep(0.05)
    process.terminate()
    _, told = process.communicate(timeout=20)
    assert process.returncode == 143 and "nothing was written to" in told
    assert [path.name for path in here.iterdir()] == ["in.jsonl"]


def test_a_list_in_json_is_read_piece_by_piece(here):
    import io

    from rollout.prepare.sources.json_rows import items

    rows = [{"q": '[{,]}\\" ' * 300, "i": i} for i in range(2000)]
    text = json.dumps(rows)
    assert len(text) > 3 << 20
    assert [row[2] for row in items(io.StringIO(text))] == rows
    (here / "in.json").write_text(text[:-2] + ", nonsense]")
    assert "in.json, line 1" in refusal(here, "in.json", prompt_column="q")


def test_tally_names_no_more_than_it_can_hold():
    tally = Tally(skips=True)
    for number in range(2000):
        tally.bad("x", f"fault {number}")
    assert tally.num_bad == 2000 and len(tally.faults) == 1000


TASKS = (
    "leg_counting", "chain_sum", "basic_arithmetic", "gcd", "word_sorting", "number_sorting",
    "spell_backward", "countdown", "mini_sudoku", "knights_knaves", "propositional_logic",
    "simple_equations",
)  # fmt: skip


def test_the_right_answers_of_reasoning_gym_score_one_after_the_round_trip(here):
    pytest.importorskip("reasoning_gym", exc_type=ImportError)
    from rollout.config.sections.postprocess import Postprocess
    from rollout.postprocess.scoring.reasoning_gym import load
    from rollout.postprocess.scoring.scorers import Response

    rows = made(here, "reasoning_gym", task=",".join(TASKS), size=3)
    score = load(Postprocess(scorer="reasoning_gym"))
    assert len(rows) == 3 * len(TASKS)
    for row in rows:
        asked = row["prompt"][0]["content"]
        assert asked == row["question"] and row["task"] in TASKS
        if row["answer"] is not None:
            assert score(Response(row["answer"]), row).score == 1.0, row["task"]


def test_a_task_that_is_none_is_refused_with_what_is_meant(here):
    pytest.importorskip("reasoning_gym", exc_type=ImportError)
    assert "Did you mean 'leg_counting'?" in refusal(here, "reasoning_gym", task="leg_count")
    wrong = refusal(here, "reasoning_gym", task="leg_counting", task_config={"min_animal": 1})
    assert "Did you mean 'min_animals'?" in wrong
    one = {"chain_sum": {"max_terms": 1}}
    assert "chain_sum does not take" in refusal(
        here, "reasoning_gym", task="[leg_counting,chain_sum]", task_config=one
    )
    refused = refusal(here, "reasoning_gym", task="leg_counting", task_config={"min_animals": 0})
    assert "does not take this" in refused


@pytest.mark.parametrize(
    "text",
    [
        '[{"question": "a"}][{"question": "b"}]',
        '[{"question": "a"}] garbage',
        '[{"question": "a"} {"question": "b"}]',
        '[{"question": "a"},]',
        '[,{"question": "a"}]',
    ],
)
def test_a_list_that_is_no_whole_list_is_refused(here, text):
    """What followed the bracket was left out without a word, and exit code 0."""
    (here / "p.json").write_text(text)
    assert "p.json, line 1: " in refusal(here, "p.json", prompt_column="question")


@pytest.mark.parametrize("cells", [["1", "0.5"], ["0.5", "1"]])
def test_a_column_of_csv_has_one_type_in_any_order(here, cells):
    (here / "p.csv").write_text("question,x\n" + "".join(f"q{c},{c}\n" for c in cells))
    assert sorted(row["x"] for row in made(here, "p.csv", prompt_column="question")) == [0.5, 1.0]


@pytest.mark.parametrize("cells", [["9007199254740993", "0.5"], ["0.5", "9007199254740993"]])
def test_an_integer_of_csv_that_a_fraction_would_round_stays_text(here, cells):
    (here / "p.csv").write_text("question,x\n" + "".join(f"q{c},{c}\n" for c in cells))
    assert sorted(row["x"] for row in made(here, "p.csv", prompt_column="question")) == sorted(
        cells
    )


def test_a_nested_integer_beside_fractions_in_another_file_is_not_rounded(here):
    (here / "d").mkdir()
    for name, number in (("1", "9007199254740993"), ("2", "1.5")):
        row = f'{{"question": "q", "x": {{"a": 9007199254740993, "b": {number}}}}}'
        (here / f"d/{name}.jsonl").write_text(row)
    assert "9007199254740993" in str(made(here, "d", prompt_column="question")[0]["x"])


def test_a_file_that_joins_the_source_makes_it_another(here):
    (here / "d").mkdir()
    for name in "ab":
        (here / f"d/{name}.jsonl").write_text(json.dumps({"question": name}))
    path, settings = here / "out.parquet", Prepare(source="d", prompt_column="question")
    made(here, "d", prompt_column="question")
    assert is_made_by(path, settings)
    (here / "d/c.jsonl").write_text('{"question": "c"}')
    assert not is_made_by(path, settings)

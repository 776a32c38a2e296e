"""python -m rollout.postprocess: the scored file, refused settings, and stopping by signals."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from processes import children_with, environment

from rollout.config.sections.export import Export, Format
from rollout.config.sections.postprocess import AnswerIs, Function, Postprocess, Regex
from rollout.errors import UserError
from rollout.postprocess.__main__ import HELP, main
from rollout.postprocess.postprocess import postprocess
from rollout.system.console import Console

SCHEMA = pa.schema(
    [
        pa.field("answer", pa.dictionary(pa.int8(), pa.string())),
        pa.field("responses", pa.large_list(pa.string()), metadata={"unit": "text"}),
        pa.field("error", pa.string()),
        pa.field("when", pa.timestamp("us", "Europe/Berlin")),
    ],
    metadata={"made by": "test"},
)
ROWS = [
    {"answer": "a", "responses": ["a", "b", "a", None], "error": None, "when": 1},
    {"answer": "a", "responses": None, "error": "refused", "when": None},
    {"answer": None, "responses": ["a"], "error": None, "when": 3},
    {"answer": "b", "responses": [], "error": "refused", "when": 4},
    {"answer": "b", "responses": ["<think>a</think> b"], "error": None, "when": 5},
]
SLEEPY = """import os, time
def f(text, row):
    open(f"at-{os.getpid()}", "w").close()
    time.sleep(600)
"""


@pytest.fixture
def source(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pq.write_table(pa.Table.from_pylist(ROWS, SCHEMA), "output.parquet", row_group_size=2)
    return tmp_path / "output.parquet"


def scored(source, **more):
    settings = Postprocess(scorer="exact", workers=1, **more)
    return postprocess(settings, source, source.with_name("scored.parquet"), Console(quiet=True))


def refused(capsys, *words):
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    lines = capsys.readouterr().err.splitlines()
    assert (ended.value.code, len(lines)) == (2, 1), lines
    return lines[0]


def test_the_input_is_untouched_and_scores_are_beside_the_responses(source):
    result = scored(source)
    found = pq.read_table(result.path)
    before = pq.read_table(source)
    assert found.select(before.column_names).equals(before, check_metadata=True)
    assert found.select(["scores", "score_errors", "extracted", "pass_rate"]).to_pylist() == [
        {"scores": [1, 0, 1, None], "score_errors": [None, None, None, "the response is null"],
         "extracted": ["a", "b", "a", None], "pass_rate": 2 / 3},
        {"scores": [], "score_errors": [], "extracted": [], "pass_rate": None},
        {"scores": [None], "score_errors": ["answer is null"], "extracted": [None],
         "pass_rate": None},
        {"scores": [], "score_errors": [], "extracted": [], "pass_rate": None},
        {"scores": [1], "score_errors": [None], "extracted": ["b"], "pass_rate": 1},
    ]  # fmt: skip
    tally = result.tally
    assert (tally.num_rows, tally.num_failed_rows, tally.num_samples) == (5, 2, 6)
    assert (tally.num_scored, tally.counts()["num_right"], tally.num_unscored) == (4, 3, 2)


def test_a_second_scoring_takes_a_prefix(source, capsys):
    path = str(scored(source).path)
    words = ["scorer=exact", f"input={path}", "output.path=twice.parquet"]
    assert "prefix=second_" in refused(capsys, *words)
    with pytest.raises(SystemExit):
        main([*words, "prefix=second_", "workers=1"])
    assert "second_pass_rate" in pq.read_schema("twice.parquet").names


def test_the_input_may_be_a_directory_of_files_or_of_a_run(source, tmp_path):
    (tmp_path / "parts").mkdir()
    for number in range(2):
        table = pa.Table.from_pylist(ROWS, SCHEMA)
        pq.write_table(table, tmp_path / "parts" / f"part-{number}.parquet")
    settings = Postprocess(scorer="exact", workers=1)
    parts = postprocess(settings, "parts", tmp_path / "a.parquet", Console(quiet=True))
    assert parts.tally.num_rows == 2 * len(ROWS)
    record = {"rollout": "0", "input": {}, "fingerprint": {}, "rows_per_shard": 1}
    (tmp_path / "run.json").write_text(json.dumps(record))
    (tmp_path / "a.parquet").rename(tmp_path / "other.parquet")
    run = postprocess(settings, tmp_path, tmp_path / "b.parquet", Console(quiet=True))
    assert run.tally.num_rows == len(ROWS)


def test_many_rows_come_out_in_their_order(tmp_path):
    rows = [{"answer": str(i), "responses": [str(i), "x"] * (i % 4)} for i in range(2000)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in.parquet", row_group_size=300)
    settings = Postprocess(scorer="exact", workers=2)
    result = postprocess(
        settings, tmp_path / "in.parquet", tmp_path / "out.parquet", Console(quiet=True)
    )
    found = pq.read_table(result.path, columns=["answer", "scores"]).to_pylist()
    assert found == [{"answer": str(i), "scores": [1.0, 0.0] * (i % 4)} for i in range(2000)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["scorer=exact"], "output.path is not set"),
        (["output.path=o.parquet"], "scorer is not set"),
        (["-m", "scorer=exact,choice", "output.path=o.parquet"], "one command scores one input"),
        (["scorer=exakt", "output.path=o.parquet"], "Did you mean 'exact'"),
        (["scorer=exact", "output.path=o.parquet", "answer_key=anser"], "Did you mean 'answer'"),
        (["scorer=exact", "output.path=o.parquet", "responses_key=error"], "list of texts"),
        (["scorer=exact", "output.path=output.parquet"], "input itself"),
        (["scorer=exact", "output.path=there.parquet"], "output.overwrite=true"),
        (["scorer=exact", "output.path=o.csv"], "name ending in .parquet"),
        (["scorer=exact", "output.path=o.parquet", "workers=0"], "workers=0 is out of range"),
        (["scorer=regex", "regex.pattern='('", "output.path=o.parquet"], "not a Python pattern"),
        (["scorer=code", "output.path=o.parquet"], "code.tests_key=tests"),
        (["scorer=exact", "output.path=o.parquet", "anser_key=a"], "anser_key"),
        (["scorer=exact", "output.path=o.parquet", "pass_threshold=1.5"], "of at most 1"),
        (["scorer=exact", "output.path=o.parquet", "pass_threshold=0"], "a pass_threshold above 0"),
        (["scorer=exact", "output.path=o.parquet", "answer_is=any"], "answer_is=any has no effect"),
        (["scorer=math", "output.path=o.parquet", "answer_is=all"], "leave answer_is out"),
        (
            ["scorer=code", "output.path=o.parquet", "code.tests_key=answer", "answer_is=any"],
            "has no effect on scorer=code",
        ),
        (["scorer=exact", "output.path=o.parquet", "input=gone.parquet"], "does not exist"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(source, capsys, words, message):
    source.with_name("there.parquet").touch()
    words = words if "input=gone.parquet" in words else [*words, "input=output.parquet"]
    assert message in refused(capsys, *words)
    assert not source.with_name("o.parquet").exists()


def test_a_function_may_score_above_1_and_lists_may_be_any(source, tmp_path):
    (tmp_path / "own.py").write_text("def f(text, row):\n    return 2.0 * (text == 'a')\n")
    function = Function(function="own.py:f")
    settings = Postprocess(scorer="python", python=function, pass_threshold=2.0, workers=1)
    result = postprocess(settings, source, tmp_path / "two.parquet", Console(quiet=True))
    assert result.figures["num_right"] == 3
    rows = [{"answer": ["a", "b"], "responses": ["b"]}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "lists.parquet")
    assert scored(tmp_path / "lists.parquet", answer_is=AnswerIs.any).figures["num_right"] == 1


def test_a_reason_that_only_repeats_a_verdict_is_left_out_and_the_export_comes_last(tmp_path):
    rows = [{"prompt": "?", "answer": a, "responses": ["Answer: 1", "x"]} for a in ("1", None)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in.parquet")
    export = Export(format=Format.sft, path=str(tmp_path / "t.parquet"))
    settings = Postprocess(
        scorer="regex", regex=Regex(pattern="Answer: (.*)"), export=export, workers=1
    )
    result = postprocess(
        settings, tmp_path / "in.parquet", tmp_path / "o.parquet", Console(quiet=True)
    )
    lines = str(result).splitlines()
    assert not [line for line in lines if line.split()[1:] == ["no", "answer", "found"]]
    at = {word: [i for i, line in enumerate(lines) if word in line] for word in (
        "no answer found in", "answer is null", "dropped ", "export  ")}  # fmt: skip
    assert all(at.values()), lines
    assert at["no answer found in"] < at["answer is null"] < at["dropped "] < at["export  "]


def test_an_existing_file_is_replaced_only_with_overwrite(source):
    target = source.with_name("scored.parquet")
    target.write_text("mine")
    with pytest.raises(UserError, match=r"output\.overwrite=true"):
        scored(source)
    settings = Postprocess(scorer="exact", workers=1)
    settings.output.overwrite = True
    postprocess(settings, source, target, Console(quiet=True))
    assert pq.read_metadata(target).num_rows == len(ROWS)


def test_help_fits_a_screen(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == HELP
    assert len(HELP.splitlines()) <= 35
    assert all(len(line) <= 100 for line in HELP.splitlines())


def test_a_pattern_is_typed_as_it_is(source, capsys):
    with pytest.raises(SystemExit):
        main(["input=output.parquet", "scorer=regex", r"regex.pattern=([ab])\b,? *$",
              "answer_key=answer", "output.path=o.parquet", "workers=1"])  # fmt: skip
    rates = pq.read_table(source.with_name("o.parquet")).column("pass_rate").to_pylist()
    assert rates == [pytest.approx(2 / 3), None, None, None, 1.0]


def start_sleepy(tmp_path):
    (tmp_path / "sleepy.py").write_text(SLEEPY)
    process = subprocess.Popen(
        [sys.executable, "-m", "rollout.postprocess", "input=output.parquet", "scorer=python",
         "python.function=sleepy.py:f", "output.path=out/o.parquet", "workers=2"],
        cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        wait_until(lambda: len(list(tmp_path.glob("at-*"))) == 2, process)
    except BaseException:
        process.kill()
        raise
    return process, workers_of(process.pid)


def wait_until(is_so, process):
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)


@contextmanager
def ended(process):
    """End the process even if the test fails."""
    try:
        yield
    finally:
        process.kill()
        process.wait()


def workers_of(pid):
    return children_with("rollout.postprocess.scoring.worker", pid)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_seconds_with_nothing_left(source, tmp_path, number):
    process, workers = start_sleepy(tmp_path)
    began = time.monotonic()
    with ended(process):
        os.kill(process.pid, number)
        error = process.communicate(timeout=30)[1]
    assert time.monotonic() - began < 5
    assert process.returncode == 128 + number
    assert "interrupted; nothing was written" in error
    assert not list((tmp_path / "out").iterdir())
    assert not psutil.wait_procs(workers, timeout=3)[1]


@pytest.mark.skipif(sys.platform != "linux", reason="programs are run on Linux only")
def test_a_signal_ends_programs_too_and_clears_their_directories(tmp_path):
    program = "```python\nimport time\nopen('mine', 'w').write('x')\ntime.sleep(600)\n```"
    rows = [{"tests": "assert answer == 1", "responses": [program]}] * 4
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "output.parquet")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "rollout.postprocess", "input=output.parquet", "scorer=code",
         "code.allow=true", "timeout_s=600", "output.path=o.parquet", "workers=2"],
        cwd=tmp_path, env=environment(TMPDIR=str(scratch)), stderr=subprocess.DEVNULL,
    )  # fmt: skip
    with ended(process):
        wait_until(lambda: len(list(scratch.rglob("mine"))) == 2, process)
        started = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert not psutil.wait_procs(started, timeout=3)[1]
        assert not list(scratch.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="on other systems they end with their work")
def test_workers_die_with_a_killed_command(source, tmp_path):
    process, workers = start_sleepy(tmp_path)
    process.kill()
    process.communicate(timeout=30)
    assert workers and not psutil.wait_procs(workers, timeout=5)[1]
    assert not (tmp_path / "out" / "o.parquet").exists()


def test_a_thread_may_score_beside_others(source):
    import threading

    found = []
    thread = threading.Thread(target=lambda: found.append(scored(source)))
    thread.start()
    thread.join(60)
    assert found and found[0].tally.num_scored == 4


def test_python_gets_every_column_but_the_responses(source, tmp_path):
    (tmp_path / "seen.py").write_text(
        "def f(text, row): return {'score': 1, 'extracted': ','.join(sorted(row))}\n"
    )
    settings = Postprocess(scorer="python", python=Function(function="seen.py:f"), workers=1)
    result = postprocess(settings, source, tmp_path / "o.parquet", Console(quiet=True))
    first = pq.read_table(result.path, columns=["extracted"]).to_pylist()[0]["extracted"][0]
    assert first == "answer,error,when"


def test_figures_never_replace_a_file_that_holds_something_else(source, capsys):
    """output.path=problems.parquet would have written problems.json over the problems."""
    source.with_name("problems.json").write_text('[{"question": "x"}]')
    line = refused(capsys, "input=output.parquet", "scorer=exact", "output.path=problems.parquet")
    assert "problems.json" in line
    assert source.with_name("problems.json").read_text() == '[{"question": "x"}]'


@pytest.mark.parametrize(("word", "meant"), [("scoer=exact", "scorer"), ("time_s=3", "timeout_s")])
def test_a_mistyped_key_gets_a_guess_among_the_commands_keys(source, capsys, word, meant):
    assert f"Did you mean '{meant}'" in refused(capsys, "input=output.parquet", word)


def test_a_file_in_verls_layout_is_scored_and_exported_by_its_ground_truth(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    row = {
        "data_source": "mine", "prompt": [{"role": "user", "content": "Capital?"}],
        "reward_model": {"style": "rule", "ground_truth": "Paris"},
        "extra_info": {"index": 7}, "responses": ["Paris", "Rome"],
    }  # fmt: skip
    pq.write_table(pa.Table.from_pylist([row]), "output.parquet")
    words = ["input=output.parquet", "scorer=exact", "output.path=scored.parquet"]
    export = ["export.format=verl", "export.path=verl.parquet"]
    with pytest.raises(SystemExit) as ended:
        main([*words, *export, "answer_key=reward_model.ground_truth"])
    assert not ended.value.code
    assert pq.read_table("scored.parquet")["scores"].to_pylist() == [[1.0, 0.0]]
    (made,) = pq.read_table("verl.parquet").to_pylist()
    assert made["extra_info"] == {"index": 7, "split": "train", "pass_rate": 0.5}

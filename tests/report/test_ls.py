"""`python -m rollout.ls`: runs and sweeps under a directory, as their records tell."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from datetime import datetime

import pytest
from obeyed_permissions import obeyed_permissions
from processes import environment, rollout
from resuming import SCRIPTED, write

from rollout.ls import main
from rollout.report.listing import search, table
from rollout.report.listing.entry import entry_of
from rollout.system import lock

COMMON = ("engine=scripted", "tracking=none", "data.input=in.parquet")


@pytest.fixture
def ls(typed, capsys, monkeypatch):
    """`ls("DIR")` returns the lines on stdout; the last exit code and notes are its attributes."""

    monkeypatch.delenv("COLUMNS", raising=False)

    def run(*words):
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        out, run.notes = capsys.readouterr()
        run.code = ended.value.code
        return out.splitlines()

    return run


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A complete and scored run, one that failed, and a sweep of two points."""
    here = tmp_path_factory.mktemp("built")
    write(here)
    scored = ("postprocess.scorer=regex", "postprocess.regex.pattern=(\\d)",
              "postprocess.answer_key=id")  # fmt: skip
    fails = ("engine.max_num_seqs=8", "engine.max_restarts=0", "sampling.n_samples=2",
             "engine.scripted.die_after_steps=60")  # fmt: skip
    launches = (
        ("run_dir=outputs/a", "sampling.top_k=5", *scored),
        ("run_dir=outputs/deep/b", *fails),
        ("run_dir=outputs/s", "-m", "sampling.temperature=0.5,1.0"),
    )
    codes = [rollout(*COMMON, *words, cwd=here).returncode for words in launches]
    assert codes == [0, 1, 0]
    return here


@pytest.fixture
def runs(built, typed):
    """A copy of them in outputs/ of the current directory."""
    shutil.copytree(built, typed.here, dirs_exist_ok=True)
    return typed.here / "outputs"


@pytest.fixture
def run(typed):
    write(typed.here)
    return lambda *words: typed(*SCRIPTED, *words)


def values(ls, *words):
    return json.loads("\n".join(ls(*words, "--json")))


def test_runs_and_sweeps_are_listed_newest_first_with_state_rows_and_scores(runs, ls):
    lines = ls()
    assert ls.code == 0 and ls.notes == ""
    text = " ".join(" ".join(lines).split())
    assert lines[0].split() == ["when", "what", "data", "sampling", "state", "rows", "tokens/s",
                                "scores"]  # fmt: skip
    assert text.index(" s (2") < text.index("deep/b") < text.index(" a ")
    assert "2 complete" in text and "failed" in text and "top_k=5" in text
    assert any(line.startswith("deep/b failed: the scripted engine died") for line in lines)


def test_off_a_terminal_each_run_is_one_line_unless_columns_is_set(runs, ls, monkeypatch):
    """The table was 100 columns wide in a pipe, words broke, and grep found half a name."""
    monkeypatch.delenv("COLUMNS", raising=False)
    long = runs / ("a-long-name-" * 6 + "end")
    (runs / "a").rename(long)
    assert sum(long.name in line and "top_k=5" in line for line in ls()) == 1
    monkeypatch.setenv("COLUMNS", "90")
    lines = ls()
    assert max(map(len, lines)) <= 90 and not any(long.name in line for line in lines)


def test_a_slow_rate_is_not_shown_as_zero(runs):
    entry = replace(entry_of(runs / "a"), output_tokens_per_s=0.34)
    assert table.lines_of([entry], runs, False)[0].cells["tokens/s"] == "0.34"


@pytest.mark.parametrize("objective", ["scores.pass@1", "num_failed"])
def test_a_sweep_has_its_objective_before_and_after_its_first_result(runs, ls, objective):
    """A sweep with a scorer was ranked by tokens/s until its first point was scored."""
    record = {"objective": objective, "points": []}
    (runs / "s/sweep.json").write_text(json.dumps(record))
    for point in (runs / "s").glob("*/summary.json"):
        assert values(ls, runs / "s")[0]["objective"] == objective
        point.unlink()
    assert values(ls, runs / "s")[0]["objective"] == objective


def test_a_point_that_was_refused_failed_and_its_reason_is_listed(runs, ls):
    """It was waiting, forever."""
    record = json.loads((runs / "s/sweep.json").read_text())
    refused = {"name": "t=-1", "values": {"sampling.temperature": "-1"}, "run_dir": "t=-1"}
    record["points"] += [refused | {"status": "failed", "error": "sampling.temperature is below 0"}]
    record["points"] += [refused | {"status": "waiting", "run_dir": "t=2"}]
    (runs / "s/sweep.json").write_text(json.dumps(record))
    (sweep,) = values(ls, runs / "s", "points=true")
    assert sweep["states"] == {"complete": 2, "failed": 1, "waiting": 1}
    assert [found["detail"] for found in sweep["refused"]] == ["sampling.temperature is below 0"]
    assert any("t=-1 failed: sampling.temperature is below 0" in line for line in ls(runs / "s"))


@pytest.mark.parametrize("command", ["ls", "report"])
def test_a_stdout_without_chinese_characters_gets_question_marks(runs, typed, command):
    """The listing ended with a UnicodeEncodeError."""
    name = "\u8fd0\u884c"
    (runs / "a").rename(runs / name)
    where = {"ls": "outputs", "report": f"outputs/{name}"}[command]
    done = subprocess.run([sys.executable, "-m", f"rollout.{command}", where], cwd=typed.here,
                          env=environment() | {"PYTHONIOENCODING": "ascii"}, capture_output=True,
                          text=True)  # fmt: skip
    assert done.returncode == 0 and done.stderr == "" and "??" in done.stdout


def test_json_has_values_without_rounding_and_paths_to_type(runs, ls):
    sweep, failed, run = values(ls)
    assert [v["kind"] for v in (sweep, failed, run)] == ["sweep", "run", "run"]
    assert (run["path"], run["state"], run["num_done"]) == ("outputs/a", "complete", 40)
    assert run["sampling"] == {"temperature": 1.0, "top_k": 5} and run["n_samples"] == 8
    summary = json.loads((runs / "a/summary.json").read_text())
    assert run["output_tokens_per_s"] == summary["output_tokens_per_s"]
    assert run["scores"]["pass@1"] == summary["scores"]["pass@1"]
    assert datetime.fromisoformat(run["when"]).tzinfo
    assert failed["state"] == "failed" and 0 < failed["num_done"] < failed["num_rows"] == 40
    assert sweep["states"] == {"complete": 2} and sweep["num_points"] == 2


def test_json_of_a_sweep_has_what_its_line_has(runs, ls):
    """It had neither rows nor input, which the table showed."""
    (sweep,) = values(ls, runs / "s")
    assert (sweep["num_done"], sweep["num_rows"], sweep["num_failed"]) == (80, 80, 0)
    assert (sweep["input"], sweep["model"], sweep["n_samples"]) == ("in.parquet", None, 8)
    assert sweep["sampling"] is None  # differs
    assert sweep["swept"] == {"sampling.temperature": ["0.5", "1.0"]}
    (runs / "s/temperature=0.5/run.json").write_text("{")
    assert values(ls, runs / "s")[0]["num_rows"] is None


def test_points_that_wait_count_among_the_rows_and_the_swept_values(runs, ls):
    """Of three temperatures, `temperature (1)` and the rows of one were listed."""
    record = json.loads((runs / "s/sweep.json").read_text())
    waiting = {"name": "t", "run_dir": "temperature=1.5", "status": "waiting",
               "values": {"sampling.temperature": "1.5"}}  # fmt: skip
    record["points"].append(waiting)
    (runs / "s/sweep.json").write_text(json.dumps(record))
    (sweep,) = values(ls, runs / "s")
    assert (sweep["num_points"], sweep["num_done"], sweep["num_rows"]) == (3, 80, 120)
    assert sweep["swept"] == {"sampling.temperature": ["0.5", "1.0", "1.5"]}
    waiting["values"] |= {"data.limit": "9"}  # so it may have other rows
    (runs / "s/sweep.json").write_text(json.dumps(record))
    assert values(ls, runs / "s")[0]["num_rows"] is None


def test_rows_that_failed_are_counted_in_the_line(typed, run, ls):
    run("run_dir=outputs/r", "engine.scripted.refuse=1")
    (line,) = ls()[1:]
    assert re.search(r" complete +40, \d+ failed ", line)


def test_points_are_listed_on_request(runs, ls):
    assert not any("s/temperature=" in line for line in ls())
    assert sum("s/temperature=" in line for line in ls("points=true")) == 2
    sweep = values(ls, "points=true")[0]
    assert [p["swept"] for p in sweep["points"]] == [
        {"sampling.temperature": "0.5"},
        {"sampling.temperature": "1.0"},
    ]


def test_the_best_point_is_shown_by_the_sweeps_objective(typed, ls):
    write(typed.here)
    typed(*COMMON, "run_dir=t", "-m", "sampling.n_samples=2,4", "objective=scores.pass@1",
          "postprocess.scorer=exact", "postprocess.answer_key=id",
          "engine.scripted.text=7")  # fmt: skip
    (sweep,) = values(ls, "t")
    assert sweep["best_value"] == 1 / 40 and len(sweep["best"]) == 2
    assert "pass@1 2.5%" in " ".join(" ".join(ls("t")).split())


def test_points_that_shared_an_engine_have_no_speed_to_be_best_by(runs, ls):
    (sweep,) = values(ls, runs / "s")
    assert sweep["objective"] == "output_tokens_per_s" and sweep["best"] == []


def test_a_run_at_work_is_running_with_its_rate_now(runs, ls):
    attempt = runs / "deep/b/attempts/1"
    (attempt / "metrics.jsonl").write_text('{"output_tokens_per_s": 12.5}\n{"output_tok')
    with lock.held(runs / "deep/b"):
        (run,) = values(ls, runs / "deep")
        assert (run["state"], run["output_tokens_per_s"]) == ("running", 12.5)
    assert values(ls, runs / "deep")[0]["state"] == "failed"


def test_a_run_that_is_scored_has_no_rate_until_its_launch_has_a_summary(runs, ls):
    """The rate of its last moments of generation stood there, minutes later."""
    with lock.held(runs / "a"):
        found = values(ls, runs / "a")[0]["output_tokens_per_s"]
        summary = json.loads((runs / "a/summary.json").read_text())
        assert found == summary["output_tokens_per_s"]
        (runs / "a/attempts/1/summary.json").unlink()
        assert values(ls, runs / "a")[0]["output_tokens_per_s"] is None


def test_a_killed_sweep_lists_the_points_on_disk(runs, ls):
    """Its record is written after each batch, so a kill leaves one without points."""
    (runs / "s/sweep.json").write_text('{"points": []}')
    assert values(ls, runs / "s")[0]["states"] == {"complete": 2}


def test_more_samples_are_shown_after_a_top_up(typed, run, ls):
    run()
    run("sampling.n_samples=12")
    assert values(ls, "x")[0]["n_samples"] == 12


def test_a_run_of_an_older_version_is_listed(typed, run, ls):
    """It had no dates in its records, and neither model nor input in summary.json."""
    run()
    for name, keys in {"run.json": ["created"], "attempts/1/environment.json": ["started"],
                       "summary.json": ["finished", "model", "input", "n_samples", "scorer"],
                       }.items():  # fmt: skip
        path = typed.here / "x" / name
        old = json.loads(path.read_text())
        path.write_text(json.dumps({k: v for k, v in old.items() if k not in keys}))
    (found,) = values(ls, "x")
    assert (found["state"], found["input"], found["n_samples"]) == ("complete", "in.parquet", 8)
    assert abs(datetime.fromisoformat(found["when"]).timestamp() - time.time()) < 600


def test_an_empty_directory_says_what_to_type(typed, ls):
    (line,) = ls()
    assert ls.code == 0 and "no runs under" in line and "python -m rollout data.input=" in line
    assert values(ls) == []


@pytest.mark.parametrize("words", [["nowhere"], ["--jsn"], ["point=true"], ["points=2"],
                                   ["outputs", "outputs"]])  # fmt: skip
def test_an_unknown_word_is_refused_with_what_to_type(runs, ls, words):
    assert ls(*words) == [] and ls.code == 2
    assert ls.notes.count("\n") == 1 and "ype " in ls.notes


def test_the_page_of_help_fits_a_terminal(ls):
    lines = ls("--help")
    assert len(lines) <= 40 and max(map(len, lines)) <= 100


@pytest.mark.parametrize("damage", ["{", "[]", '{"rollout": "0", "input": {}, "fingerprint": 3}',
                                    '{"rollout": "0", "input": 1, "fingerprint": {}}'])  # fmt: skip
def test_a_damaged_record_is_listed_as_failed(runs, ls, damage):
    (runs / "a/run.json").write_text(damage)
    (found,) = values(ls, runs / "a")
    assert found["state"] == "failed" and "run.json" in found["detail"]


def test_records_of_other_types_raise_nothing(runs, ls):
    record = json.loads((runs / "a/run.json").read_text())
    record |= {"config": {"data": 3, "model": [], "engine": None}, "created": {"a": 1}}
    record["input"]["files"] = "x"
    (runs / "a/run.json").write_text(json.dumps(record))
    (found,) = values(ls, runs / "a")
    assert found["state"] == "complete" and found["input"] is None
    assert ls(runs / "a")


def test_hostile_names_are_printed_without_control_characters(typed, ls):
    write(typed.here)
    name = "evil\x1b[31m\u202e" + os.fsdecode(b"\xff")
    (typed.here / "outputs" / name).mkdir(parents=True)
    typed(*SCRIPTED, "run_dir=x")
    (typed.here / "x").rename(typed.here / "outputs" / name / "x")
    text = "".join("".join(ls()).split())
    assert "\\x1b[31m\\u202e" in text and "\x1b" not in text and "\u202e" not in text
    assert values(ls)[0]["state"] == "complete"


def test_links_are_not_followed_and_a_runs_own_files_not_searched(runs, ls):
    (runs / "loop").symlink_to(runs)
    inner = runs / "a/shards/inner"
    inner.mkdir()
    (inner / "run.json").write_bytes((runs / "a/run.json").read_bytes())
    assert len(values(ls)) == 3


def test_a_large_tree_is_searched_up_to_a_bound_and_says_so(runs, ls, monkeypatch):
    monkeypatch.setattr(search, "MAX_DIRECTORIES", 2)
    ls()
    assert "only the first 2 directories were searched" in ls.notes


def test_a_directory_that_cannot_be_read_is_left_out_with_a_note(runs, ls):
    (runs / "deep").chmod(0)
    try:
        with obeyed_permissions():
            assert len(values(ls)) == 2 and "deep is left out: Permission denied" in ls.notes
    finally:
        (runs / "deep").chmod(0o755)


def test_a_look_at_finished_runs_loads_nothing_slow(runs, typed):
    code = (
        "import sys\nfrom rollout.ls import main\ntry: main(['outputs/a'])\n"
        "except SystemExit: print(sorted({'pyarrow', 'pandas', 'hydra'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=typed.here, env=environment(),
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert "complete" in done.stdout and done.stdout.splitlines()[-1] == "[]"


def test_hundreds_of_runs_are_listed_in_seconds(runs, ls):
    for number in range(300):
        shutil.copytree(runs / "a", runs / f"many/{number}")
    began = time.monotonic()
    assert len(values(ls)) == 303
    assert time.monotonic() - began < 10  # a second or two on an idle machine

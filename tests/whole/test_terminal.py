"""The terminal tells the truth while a command runs: widths, modes, escape sequences."""

import json
import re
import subprocess
import sys

import pytest
from processes import command, environment, rollout
from prompt_files import write
from pseudo_terminal import drawn_lines, run_on_terminal
from rich.cells import cell_len

SCRIPTED = (
    "engine=scripted", "tracking=none", "run_dir=r", "data.input=p.parquet",
    "sampling.n_samples=4", "engine.max_num_seqs=16", "engine.scripted.step_s=0.02",
)  # fmt: skip
ALONE = re.compile(r"\s*(?:\S+ +)?\S+|\s*\S+ -m rollout.*")  # a path, with its name; a command


@pytest.fixture
def here(tmp_path):
    write(tmp_path / "p.parquet", [f"What is {n} + {n}?" for n in range(60)])
    return tmp_path


def too_wide(lines, width):
    return [line for line in lines if cell_len(line) > width and not ALONE.fullmatch(line)]


@pytest.mark.parametrize("columns", [60, 80, 100, 200])
def test_a_live_display_is_never_wider_than_the_terminal_nor_100_columns(here, columns):
    code, written = run_on_terminal(
        command(*SCRIPTED, "engine.scripted.load_s=0.5"),
        columns, environment(TERM="xterm-256color"), here,
    )  # fmt: skip
    lines = drawn_lines(written)
    assert code == 0 and "\x1b[" in written
    before_results = lines[: next(i for i, line in enumerate(lines) if line.startswith("What"))]
    assert not too_wide(lines, 100) and not too_wide(before_results, columns)
    for text in ("loading the scripted engine", "/240 samples", "output tokens/s now", "running "):
        assert any(text in line for line in lines), text
    assert any(re.search(r"ETA \d+:\d\d", line) for line in lines)


def test_a_sweep_counts_all_its_points_and_never_goes_back(here):
    words = "-m", "engine.max_num_seqs=16,32", "sampling.temperature=0.5,1"
    code, written = run_on_terminal(
        command(*SCRIPTED[:4], "sampling.n_samples=1", "engine.scripted.step_s=0.02", *words), 100,
        environment(TERM="xterm-256color"), here,
    )  # fmt: skip
    lines = drawn_lines(written)
    assert code == 0 and not too_wide(lines, 100)
    shown = [line for line in lines if "/4 points" in line]
    percents = [int(line.split("%")[0]) for line in shown]
    assert len(percents) > 3 and percents == sorted(percents) and percents[-1] == 100
    assert all("/240 rows" in line and "/240 samples" in line for line in shown)
    assert any(
        re.match(r"4 points on 2 engine loads in \d+:\d\d, loads of \d+:\d\d together", s)
        for s in lines
    )


def test_off_a_terminal_there_are_plain_lines_without_escape_sequences(here):
    code = (
        "import rollout.system.console as c; c.PLAIN_INTERVAL_S = 0.2\n"
        "from rollout.__main__ import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *SCRIPTED],
        cwd=here, env=environment(TERM="xterm"), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "\x1b" not in done.stdout + done.stderr and "\r" not in done.stdout + done.stderr
    plain = [line for line in done.stderr.splitlines() if re.match(r" *\d+%  \d+/60 rows", line)]
    assert plain and all("samples" in line for line in plain)
    assert all("ETA" in line for line in plain if not line.startswith("100%"))
    assert not too_wide([*done.stdout.splitlines(), *done.stderr.splitlines()], 100)


def test_plain_lines_on_a_terminal_if_asked_for(here):
    code, written = run_on_terminal(
        command(*SCRIPTED, "console=plain"), 80, environment(TERM="xterm"), here
    )
    assert code == 0 and "\x1b" not in written and "samples in" in written


def test_a_quiet_run_prints_its_last_lines_only(here):
    done = rollout(*SCRIPTED, "console=quiet", cwd=here)
    assert done.stderr == ""
    assert [line.split()[0] for line in done.stdout.splitlines()] == [
        "60", "output", "run", "report",
    ]  # fmt: skip


def test_json_can_be_followed_by_a_script(here):
    done = rollout(*SCRIPTED, "console=json", cwd=here)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.stderr == ""
    assert {e["event"] for e in events} == {"note", "progress", "summary", "report"}
    progress = [e for e in events if e["event"] == "progress"]
    last = [e for e in progress if e["phase"] == "generate"][-1]
    assert (last["rows"], last["samples"], last["left_s"]) == (60, 240, 0)
    assert (progress[-1]["phase"], progress[-1]["rows"]) == ("publish", 60)
    summary = json.loads((here / "r/summary.json").read_text())
    (end,) = (e for e in events if e["event"] == "summary")
    assert summary.items() <= end.items()


def test_an_error_is_an_event_and_a_line(here):
    for words, code in ((("data.limit=-3",), 2), (("model.nmae=x",), 2)):
        done = rollout(*SCRIPTED, *words, "console=json", cwd=here)
        (event,) = map(json.loads, done.stdout.splitlines())
        assert (event["event"], event["exit_code"], done.returncode) == ("error", code, code)
        assert done.stderr == f"rollout: {event['message']}\n"


def test_a_sweep_in_json_tells_of_each_point(here):
    done = rollout(
        *SCRIPTED, "console=json", "-m", "sampling.temperature=0.5,1", "engine.scripted.step_s=0",
        cwd=here,
    )  # fmt: skip
    events = [json.loads(line) for line in done.stdout.splitlines()]
    points = [e for e in events if e["event"] == "point"]
    assert [(p["status"], p["figures"]["num_rows"]) for p in points] == [("done", 60)] * 2
    assert events[-1]["event"] == "summary" and len(events[-1]["points"]) == 2

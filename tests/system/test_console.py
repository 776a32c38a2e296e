"""Lines, and how each mode talks to the user."""

import io
import json
import os
import re
import sys
from contextlib import ExitStack

import pytest

from rollout.system.console import Console, Mode, write_event
from rollout.system.live import LiveProgress, LiveSpinner
from rollout.system.safe_text import one_line
from rollout.system.status import Status
from rollout.system.terminal import duration, eta, fitted, rate_text, wrapped


def test_durations_read_like_a_clock():
    assert [duration(s) for s in (0, 7.4, 61, 3723)] == ["0:00", "0:07", "1:01", "1:02:03"]


def test_the_time_left_comes_with_its_spread_where_that_is_known():
    assert eta(200, 170, 250) == "ETA 3:20 (2:50-4:10)"
    assert [rate_text(rate) for rate in (12345.6, 9.96, 0.34, 0)] == ["12,346", "10", "0.34", "0"]
    assert [eta(200), eta(200, 200, 200.1), eta(None)] == ["ETA 3:20", "ETA 3:20", "ETA -:--"]


def test_what_libraries_print_goes_to_the_log_and_our_lines_to_the_user(tmp_path, capfd):
    console = Console()
    with console.libraries_write_to(tmp_path / "engine.log"):
        os.write(2, b"a warning from C++\n")
        console.note("ours")
    console.note("ours again")
    assert capfd.readouterr().err == "ours\nours again\n"
    assert "C++" in (tmp_path / "engine.log").read_text()


def test_blocks_of_two_engines_may_overlap(tmp_path, capfd):
    console = Console()
    first, second = (console.libraries_write_to(tmp_path / f"{n}.log") for n in (1, 2))
    ends = ExitStack()
    with first:
        ends.enter_context(second)
    os.write(2, b"a warning\n")
    console.note("ours")
    ends.close()
    os.write(2, b"to the user\n")
    assert capfd.readouterr().err == "ours\nto the user\n"
    assert (tmp_path / "1.log").read_text() == "a warning\n"


def test_a_silent_console_still_keeps_the_log(tmp_path, capfd):
    console = Console(quiet=True)
    console.log_to(tmp_path / "run.log")
    console.note("one")
    console.close()
    assert capfd.readouterr().err == ""
    assert "one" in (tmp_path / "run.log").read_text()


def test_progress_without_a_terminal_is_a_plain_line_with_an_eta(monkeypatch, capfd):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    with Console().progress() as progress:
        for fraction in (0.1, 0.2):
            now[0] += 6.0
            progress.update(Status(fraction, ("20/100 rows",), 48.0, details=(("5 tokens/s",),)))
    assert capfd.readouterr().err == " 20%  20/100 rows  ETA 0:48  5 tokens/s\n"


def test_a_quiet_command_prints_its_last_lines_only(capfd):
    console = Console(mode=Mode.quiet)
    console.note("loading")
    console.warning("slow", "vllm")
    console.preview("a response")
    console.summary("8 rows", {"num_rows": 8})
    assert capfd.readouterr() == ("8 rows\n", "")


def test_json_is_one_object_a_line_and_nothing_else(monkeypatch, capfd):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    console = Console(mode=Mode.json)
    console.note("a\nb\x1b[2J")
    console.warning("slow", "vllm")
    with console.progress() as progress:
        for fraction in (0.5, 0.6, 1.0):
            now[0] += 0.6
            progress.update(Status(fraction, left_s=2.0, values={"rows": 4, "left": float("nan")}))
    console.preview("a response")
    console.summary("8 rows", {"num_rows": 8})
    out, err = capfd.readouterr()
    events = [json.loads(line) for line in out.splitlines()]
    assert err == ""
    assert [e["event"] for e in events] == ["note", "warning", "progress", "progress", "summary"]
    assert [e["fraction"] for e in events if e["event"] == "progress"] == [0.6, 1.0]
    assert events[2]["rows"] == 4 and events[2]["left"] is None and events[4]["num_rows"] == 8


def test_a_slow_step_names_its_phases_now_and_then_without_a_terminal(monkeypatch, capfd):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    with Console().waiting("loading m on cpu") as say_phase:
        for phase in ("importing", "loading weights, 1 of 9", "loading weights, 2 of 9"):
            now[0] += 6.0
            say_phase(phase)
    lines = capfd.readouterr().err.splitlines()
    assert lines == [
        "loading m on cpu ...",
        "loading m on cpu: loading weights, 1 of 9, after 0:12",
    ]


def test_a_slow_step_that_continues_is_not_announced_again_and_keeps_its_clock(monkeypatch, capfd):
    now = [5.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    console = Console()
    with console.waiting("loading m", since=2.0):
        now[0] = 9.0
    with console.waiting("loading m", since=2.0, is_continued=True) as say_phase:
        now[0] = 20.0
        say_phase("weights")
    lines = capfd.readouterr().err.splitlines()
    assert lines == ["loading m ...", "loading m: weights, after 0:18"]


def test_a_long_line_breaks_at_spaces_and_a_command_or_path_stays_whole():
    assert wrapped("a " * 30 + "b", 40) == [("a " * 20).strip(), "    " + "a " * 10 + "b"]
    command = "python -m rollout data.input=" + "x" * 40
    assert wrapped(f"finished rows are on disk; to resume: {command}", 50) == [
        "finished rows are on disk; to resume:",
        f"    {command}",
    ]
    command = "wandb sync /" + "x" * 40
    assert wrapped(f"wandb: offline; upload later with: {command}", 50)[1:] == [f"    {command}"]
    assert wrapped("output  /" + "x" * 60, 50) == ["output  /" + "x" * 60]


def test_of_phrases_the_first_ones_are_kept():
    assert fitted(["one", "", "two", "three"], 12, "  ") == "one  two"
    assert fitted(["too long for it", "b"], 5) == ""


def test_untrusted_text_stays_on_its_line():
    assert one_line("a\nb\x1b[2J\u202ec", 80) == r"a b\x1b[2J\u202ec"
    assert len(one_line("x" * 1000, 40)) == 40


@pytest.mark.parametrize("text", ["天気がいいから散歩しましょう" * 9, "e\u0301" * 99, "🙂" * 99])
def test_a_line_is_cut_by_the_columns_it_takes(text):
    from rich.cells import cell_len

    assert 38 <= cell_len(one_line(text, 40)) <= 40


def test_no_color_leaves_out_dim_and_bold_too(monkeypatch):
    """rich itself leaves out colours only."""
    monkeypatch.setenv("TERM", "xterm-256color")
    shown = []
    for value in ("", "1"):
        monkeypatch.setenv("NO_COLOR", value)
        stream = io.StringIO()
        with LiveProgress(stream, stays=False) as progress:
            progress.update(Status(0.4, ("2/5 rows",), sample=("prompt", "> response")))
            progress._live.refresh()
        shown.append(re.findall(r"\x1b\[[\d;]*m", stream.getvalue()))
    assert shown[0] and not shown[1]


def test_a_secret_before_a_quote_leaves_the_json_of_its_line_whole(capsys):
    """The stars took the quote's backslash with them, so the line was no JSON."""
    secret = 'api_key="abcdefgh123"'
    values = {"text": secret, "deep": {"list": [secret, {"Bearer abcd1234": 1}], "n": 2}}
    write_event(sys.stdout, "note", values)
    out = capsys.readouterr().out
    found = json.loads(out)
    assert found["text"] == found["deep"]["list"][0] == 'api_key="***"'
    assert found["deep"]["n"] == 2 and "abcd" not in out


def test_a_note_above_a_display_is_printed_as_it_is():
    """`:100:` became an emoji."""
    terminal = io.StringIO()
    with LiveSpinner(terminal, "loading", 0.0) as spinner:
        spinner.say("row :100: of [bold]x[/bold]")
    assert "row :100: of [bold]x[/bold]\n" in terminal.getvalue()

"""Lines and the progress bar."""

import os
from contextlib import ExitStack

from rollout.system.console import Console, duration
from rollout.system.safe_text import one_line


def test_durations_read_like_a_clock():
    assert [duration(s) for s in (0, 7.4, 61, 3723)] == ["0:00", "0:07", "1:01", "1:02:03"]


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


def test_a_quiet_console_still_keeps_the_log(tmp_path, capfd):
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
            progress.update(fraction, 48.0, "20/100 rows")
    assert capfd.readouterr().err == " 20%  20/100 rows  ETA 0:48\n"


def test_untrusted_text_stays_on_its_line():
    assert one_line("a\nb\x1b[2J\u202ec", 80) == r"a b\x1b[2J\u202ec"
    assert len(one_line("x" * 1000, 40)) == 40

"""python -m rollout.ls: list the runs and sweeps under a directory."""

import io
import os
import shutil
import sys
from pathlib import Path

from rollout.errors import UserError, did_you_mean
from rollout.system.exits import run_command
from rollout.system.formats import strict_json
from rollout.system.terminal import say, write

HELP = """\
rollout.ls: list the runs and sweeps under a directory, newest first

  python -m rollout.ls                  under outputs/ or, without one, the current directory
  python -m rollout.ls DIR              under DIR
  python -m rollout.ls DIR points=true  with a line for each point of a sweep
  python -m rollout.ls DIR --json       as JSON: numbers without rounding, paths to type, reasons

  when       start of the first launch, in local time
  sampling   n: responses per prompt, t: temperature, and what differs from the defaults; of a
             sweep, the swept keys with the number of their values
  state      running    a process works on it
             complete   published, with its summary
             failed     the last launch ended with an error, no row was answered, no response could
                        be judged, or a record is damaged; the reason is below the table
             resumable  killed, interrupted, or not everything published: python -m rollout
                        run_dir=DIR continues
  rows       finished of all: with all their samples, or an error; one number if all are; and how
             many of them failed
  tokens/s   output tokens per second of the last launch; of one that is running, now
  scores     of a run that was scored; of a sweep, the best point by its objective

Fits a terminal, or COLUMNS if that is set; in a pipe or file, each run is one line.
Reads records only, takes no lock and writes nothing, so it may run at any time. Follows no links.
Exit code 0: listed, even if there is none; 2: no such directory, or an unknown word.
"""
DEFAULT = "outputs"
WIDEST = 100_000  # columns of a table that has no width to fit


def main(argv: list[str] | None = None) -> None:
    """List runs and sweeps, and exit with the command's exit code."""
    run_command("rollout.ls", _main, argv)


def _main(argv: list[str]) -> int:
    if any(word in ("-h", "--help", "help") for word in argv):
        print(HELP, end="")
        return 0
    directory, with_points, as_json = _parsed(argv)
    from rollout.report.listing.listing import listing_of

    found = listing_of(directory)
    for note in found.notes:
        say(f"note: {note}", sys.stderr)
    if as_json:
        from rollout.report.listing.values import values_of

        values = [values_of(entry, with_points) for entry in found.entries]
        print(strict_json.dumps(values, indent=2))
    elif not found.entries:
        say(
            f"no runs under {directory}; type python -m rollout data.input=PROMPTS.parquet to "
            "start one, or python -m rollout.ls DIR for another directory",
            sys.stdout,
        )
    else:
        _print_table(found.entries, directory, with_points)
    return 0


def _print_table(entries: list, directory: Path, with_points: bool) -> None:
    from rich.console import Console

    from rollout.report.listing.table import fault_lines, lines_of, table_of

    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    has_width = is_terminal or os.environ.get("COLUMNS", "").strip("0").isdecimal()
    width = shutil.get_terminal_size().columns if has_width else None
    lines = lines_of(entries, directory, with_points)
    console = Console(
        file=io.StringIO(), width=width or WIDEST, highlight=False, force_terminal=is_terminal
    )
    console.print(table_of(lines, width))
    text = "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())
    write(text, sys.stdout)  # in whatever encoding it has
    for line in fault_lines(lines, width):
        say(line, sys.stdout)


def _parsed(argv: list[str]) -> tuple[Path, bool, bool]:
    """Return the directory, and whether points and JSON are asked for. Raises UserError."""
    directories, with_points = [], False
    for word in argv:
        key, equals, value = word.partition("=")
        if word == "--json":
            continue
        if key == "points" and equals:
            if value not in ("true", "false"):
                raise UserError(f"{word}: type points=true or points=false")
            with_points = value == "true"
        elif word.startswith("-") or (equals and key.isidentifier() and not Path(word).exists()):
            hint = did_you_mean(word, ("--json", "--help", "points=true"))
            raise UserError(f"{word} is unknown here.{hint} Type DIR, points=true or --json")
        else:
            directories.append(word)
    if len(directories) > 1:
        raise UserError(f"{' '.join(directories)}: type one directory")
    return _directory(directories), with_points, "--json" in argv


def _directory(typed: list[str]) -> Path:
    from rollout.system.disk import expand_home

    if not typed:
        return Path(DEFAULT) if Path(DEFAULT).is_dir() else Path()
    directory = Path(expand_home(typed[0]))
    if not directory.is_dir():
        raise UserError(f"{typed[0]} is not a directory; type the directory that holds your runs")
    return directory


if __name__ == "__main__":
    main()

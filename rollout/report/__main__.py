"""python -m rollout.report PATH: write the page of a run, a sweep or a parquet file."""

import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from rollout.errors import UserError
from rollout.report.html import html_of
from rollout.report.page import Page
from rollout.report.target import target_of
from rollout.store.figure_files import write_figures
from rollout.store.page_files import write_page
from rollout.system.disk import path_of
from rollout.system.exits import run_command
from rollout.system.terminal import counted, say

HELP = """\
rollout.report: write a run, a sweep or a file of responses as one page to look at

  python -m rollout.report runs/a                 a run, also while it is running or unfinished
  python -m rollout.report runs/sweep             a sweep: the directory with sweep.json
  python -m rollout.report runs/a/scored.parquet  a file with responses, with or without scores
  python -m rollout.report runs/a --figures       the charts as PNG and SVG files, too

Writes RUN_DIR/report.html, SWEEP_DIR/sweep.html, or NAME.html beside a file. Figures of a run or a
sweep go to its figures/, those of any other page NAME.html to NAME-figures/. The page is one file
that loads nothing from a network. A file that is not as a report wrote it is not replaced. Needs no
GPU and no model, and changes nothing else.

  output=FILE.html   write the page there
  overwrite=true     replace the file there, whoever wrote it
  --figures          also write each chart as PNG and SVG

Of a file, for columns that are not found by their names:

  responses_key=COLUMN  the responses
  prompt_key=COLUMN     the prompts
  prefix=second_        the scores: of a scoring whose columns have this prefix
"""
FLAGS = {"overwrite=true": True, "overwrite=false": False}
OF_A_FILE = ("responses_key", "prompt_key", "prefix")


@dataclass(slots=True)
class Words:
    """What was typed."""

    path: str
    output: str | None = None
    overwrite: bool = False
    has_figures: bool = False
    columns: dict[str, str] = field(default_factory=dict)  # of a file, by OF_A_FILE


def main(argv: list[str] | None = None) -> None:
    """Write the page and exit: 0 if it was written, 2 if PATH or a word is wrong."""
    run_command("rollout.report", _main, argv)


def _main(argv: list[str]) -> int:
    if any(word in ("-h", "--help", "help") for word in argv):
        print(HELP, end="")
        return 0
    words = split(argv)
    target = target_of(words.path)
    if words.columns and not target.is_file:
        typed = ", ".join(f"{key}=" for key in words.columns)
        raise UserError(f"{typed} is for a file of responses, and {words.path} is a run or a "
                        "sweep, which has its columns on record; leave it out")  # fmt: skip
    path = target.default if words.output is None else path_of(words.output)
    if path.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"output={words.output} is not a page; type a name ending in .html")
    page = target.page(**words.columns)
    write_page(path, html_of(page), words.overwrite, target.is_ours)
    say(f"report   {path}", sys.stdout)
    if words.has_figures:
        _write_figures(page, target.figures(path))
    return 0


def _write_figures(page: Page, directory: Path) -> None:
    """Write the charts as files; without charts, only those of an earlier page are removed."""
    from rollout.report.images import write_images

    files = []
    if page.charts or directory.exists():
        files = write_figures(directory, partial(write_images, page.charts, title=page.title))
    done = (
        f"{directory}: {counted(len(files), 'file')}" if files else "none: the page has no charts"
    )
    say(f"figures  {done}", sys.stdout)


def split(argv: list[str]) -> Words:
    """Return what was typed. Raises UserError if there is not one path, or a word is unknown."""
    paths, words = [], Words("")
    for word in argv:
        key, equals, value = word.partition("=")
        if word == "--figures":
            words.has_figures = True
        elif word in FLAGS:
            words.overwrite = FLAGS[word]
        elif equals and key == "output":
            words.output = value
        elif equals and key in OF_A_FILE:
            words.columns[key] = value
        elif word.startswith("-") or word.startswith("overwrite="):
            raise UserError(f"{word!r} is not a word of rollout.report; see --help")
        else:
            paths.append(word)
    if len(paths) != 1:
        given = f"{len(paths)} paths are given; " if paths else ""
        which = "one: that of a run, a sweep or a parquet file" if paths else ""
        raise UserError(given + f"type {which or 'the path of a run, a sweep or a parquet file'}")
    words.path = paths[0]
    return words


if __name__ == "__main__":
    main(sys.argv[1:])

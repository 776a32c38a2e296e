"""python -m rollout.report PATH: write the page of a run, a sweep or a parquet file."""

import sys
from functools import partial

from rollout.errors import UserError
from rollout.report.page import html_of
from rollout.report.target import target_of
from rollout.store.figure_files import write_figures
from rollout.store.page_files import write_page
from rollout.system.disk import path_of
from rollout.system.exits import run_command
from rollout.system.terminal import say

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
"""
FLAGS = {"overwrite=true": True, "overwrite=false": False}


def main(argv: list[str] | None = None) -> None:
    """Write the page and exit: 0 if it was written, 2 if PATH or a word is wrong."""
    run_command("rollout.report", _main, argv)


def _main(argv: list[str]) -> int:
    if any(word in ("-h", "--help", "help") for word in argv):
        print(HELP, end="")
        return 0
    given, output, overwrite, has_figures = split(argv)
    target = target_of(given)
    path = target.default if output is None else path_of(output)
    if path.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"output={output} is no page; type a name ending in .html")
    page = target.page()
    write_page(path, html_of(page), overwrite, target.is_ours)
    say(f"report   {path}", sys.stdout)
    if has_figures:
        from rollout.report.images import write_images

        directory = target.figures(path)
        files = write_figures(directory, partial(write_images, page.charts))
        say(f"figures  {directory}: {len(files)} files", sys.stdout)
    return 0


def split(argv: list[str]) -> tuple[str, str | None, bool, bool]:
    """Return the path, the words of output= and overwrite=, and whether figures are wanted."""
    paths, output, overwrite, has_figures = [], None, False, False
    for word in argv:
        if word == "--figures":
            has_figures = True
        elif word in FLAGS:
            overwrite = FLAGS[word]
        elif word.startswith("output="):
            output = word.removeprefix("output=")
        elif word.startswith("-") or word.startswith("overwrite="):
            raise UserError(f"{word!r} is not a word of rollout.report; see --help")
        else:
            paths.append(word)
    if len(paths) != 1:
        what = "no path" if not paths else f"{len(paths)} paths"
        raise UserError(f"rollout.report takes one path, not {what}; type one: RUN_DIR, "
                        "SWEEP_DIR or FILE.parquet")  # fmt: skip
    return paths[0], output, overwrite, has_figures


if __name__ == "__main__":
    main(sys.argv[1:])

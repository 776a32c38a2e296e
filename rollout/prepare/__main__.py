"""python -m rollout.prepare: make a file of prompts from files, datasets or reasoning_gym."""

from pathlib import Path

from rollout.errors import UserError
from rollout.prepare.output import shares_of, split_path
from rollout.prepare.prepare import prepare
from rollout.system.console import Console
from rollout.system.disk import path_of
from rollout.system.exits import run_command
from rollout.system.signals import stop_on_signals

HELP = """\
rollout.prepare: make a parquet file of prompts from files, datasets or reasoning_gym

  python -m rollout.prepare source=problems.jsonl template='Q: {{ question }}' output.path=p.parquet
  python -m rollout.prepare source=openai/gsm8k subset=main split=train output.path=p.parquet \\
      prompt_column=question rename.solution=answer filter="question|length < 500" shuffle=true
  python -m rollout.prepare source=reasoning_gym task=leg_counting size=500 output.path=p.parquet

  source         file, glob or directory of .jsonl .json .csv .tsv (also .gz .zst), .parquet,
                 .arrow; a dataset saved by save_to_disk; a hub dataset ORG/NAME (split, subset,
                 revision); reasoning_gym (task=NAME or task=[a,b], task_config.NAME=, size, seed);
                 ShareGPT turns and OpenAI batch lines are read as chats
  output.path    file to write; output.overwrite=true replaces an existing file
  template       Jinja text or file that makes each prompt from the row's columns
  prompt_column  without a template: column of strings or chats
  system         system message; Jinja text or file
  few_shot       file of examples put before each prompt (num_few_shot, few_shot_answer)
  last_answer    drop or keep an assistant message at the end of a chat
  prompt_format  chat (a list of messages) or text (one string), in column prompt_key
  filter         Jinja expression, such as filter="level|int > 3 and 'prove' not in question"
  deduplicate=true   sample=N   shuffle=true   seed=N   limit=N   on_error=skip
  keep=[a,b]     columns to keep besides the prompt; rename.NEW=OLD
  splits         splits='{train: 0.9, test: 0.1}' writes p-train.parquet and p-test.parquet
  preview=true   show three prompts and the counts, write nothing

All settings and their defaults: python -m rollout --help all, section prepare.
Exit code 0: done; 1: failed; 2: a setting or the input is wrong; 130: interrupted, nothing written.
"""


def main(argv: list[str] | None = None) -> None:
    """Make the prompts and exit with the exit code."""
    run_command("rollout.prepare", _main, argv)


def _main(argv: list[str]) -> int:
    if not argv or any(word in ("-h", "--help", "help") for word in argv):
        print(HELP, end="")
        return 0
    from rollout.config.stages import compose_stage, last_line_of

    composed = compose_stage("prepare", argv)
    settings = composed.prepare
    given = settings.output.path
    if not given and not settings.preview:
        raise UserError("output.path is not set; type output.path=prompts.parquet, or preview=true")
    path = path_of(given or "prompts.parquet")
    console = Console()
    with stop_on_signals(ends_process=True) as stop:
        stop.print_line = console.print_now
        paths = [split_path(path, name) for name in shares_of(settings)] or [path]
        stop.last_line = last_line_of(*paths)
        prepared = prepare(settings, path, console, Path.cwd(), stop)
    console.result(str(prepared))
    return 0


if __name__ == "__main__":
    main()

"""python -m rollout.postprocess: score the responses of a run."""

from pathlib import Path

from rollout.errors import UserError
from rollout.postprocess.postprocess import export_again, postprocess
from rollout.postprocess.responses import files_of
from rollout.postprocess.scoring.scorers import scorer_module
from rollout.system.console import Console
from rollout.system.disk import path_of
from rollout.system.exits import run_command
from rollout.system.signals import stop_on_signals

HELP = """\
rollout.postprocess: score the responses of a run

  python -m rollout.postprocess input=output.parquet scorer=math output.path=scored.parquet

  input         output.parquet of a run, a glob, a directory of files, or a run's directory
  output.path   the same rows with scores, verdicts, score_errors, extracted, compared_with and
                pass_rate; output.overwrite=true replaces an existing file
  scorer        math            the last answer equals answer_key mathematically
                exact           the response is the text in answer_key; exact.ignore_case=true, ...
                choice          the chosen letter is the one in answer_key; choice.letters=ABCD
                regex           regex.pattern='answer: (.*)' finds the answer in answer_key
                json_schema     the response is JSON that json_schema.schema=FILE.json allows
                reasoning_gym   the task's own verifier
                code            the response's Python passes the tests in code.tests_key; needs
                                code.allow=true: time, memory, network and files are limited, but
                                this is not a sandbox for hostile code
                python          python.function=file.py:function, called with (response, row)
  answer_key    column with the right answer (default: answer); if it holds lists,
                answer_is=any: each one is right; answer_is=all: a response must give all of them
  after         score only the text after the last of these tags (default: </think>)
  timeout_s     seconds for one response (default: 10); workers: processes (default: one per core)
  prefix        for a second scoring: prefix=second_
  estimate.     pass@k and its table: estimate.k=[1,10] estimate.group_by=[COLUMN]
  select.       which rows to export: select.min_pass_rate=0.1 select.max_pass_rate=0.9 ...
  export.       export.format=sft, prompt_completion, dpo, grpo or verl, export.path=train.parquet;
                without scorer=, a scored input is exported again in another format

Verdicts: right, wrong; no_answer and cut_off (score 0, counted separately); error (time-out,
exception, memory: no score, not solved in pass@k); unjudged (nothing to compare with: left out).
No response stops the command. All settings: python -m rollout --help all, section postprocess.
Exit code 0: done; 1: failed, or no response could be judged; 2: a wrong setting or input;
130: interrupted, nothing written.
"""


def main(argv: list[str] | None = None) -> None:
    """Score as the command line says and exit with the command's exit code."""
    run_command("rollout.postprocess", _main, argv)


def _main(argv: list[str]) -> int:
    if not argv or any(word in ("-h", "--help", "help") for word in argv):
        print(HELP, end="")
        return 0
    if any(word in ("-m", "--multirun") for word in argv):
        raise UserError("one command scores one input; for several scorers, run it once for each")
    from rollout.config.stages import compose_stage, last_line_of

    composed = compose_stage("postprocess", argv)
    settings = composed.postprocess
    if settings.scorer is None and settings.input:
        return export_again(settings)
    scorer_module(settings)
    if not settings.output.path:
        raise UserError("output.path is not set; type output.path=scored.parquet")
    output = path_of(settings.output.path)
    files_of(settings.input, Path.cwd())
    console = Console()
    with stop_on_signals(ends_process=True) as stop:
        stop.print_line = console.print_now
        stop.last_line = last_line_of(output)
        scored = postprocess(settings, settings.input, output, console, stop)
    console.result(str(scored))
    if scored.fault:
        raise scored.fault
    return 0


if __name__ == "__main__":
    main()

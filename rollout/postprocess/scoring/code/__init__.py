"""scorer=code: run the program in a response against the row's tests, and score the share passed.

`layouts` reads the tests, `program` finds the program, `programs` runs it. A program that fails or
exceeds a limit is wrong, and `score_errors` has the reason. If the tests can't run as intended, or
run nothing, the row is not judged. Each program runs in its own process (see contained.py). This
contains accidents; it is not a sandbox for hostile code.
"""

import sys
from functools import partial
from typing import Any

from rollout.config.sections.postprocess import Postprocess
from rollout.errors import UserError
from rollout.postprocess.scoring.code import contests
from rollout.postprocess.scoring.code.layouts import Kind, likely_column, tests_of
from rollout.postprocess.scoring.code.program import program_in
from rollout.postprocess.scoring.code.programs import Limits, outcome_of
from rollout.postprocess.scoring.code.prompted import asked_for, prompted
from rollout.postprocess.scoring.scorers import Mark, Response, Scorer, Verdict, no_answer

OPTIONAL = ("entry_point", "test_setup_code", "test_imports", "starter_code", "fn_name", "metadata")


def columns(settings: Postprocess) -> dict[str, str]:
    """Return the column of the tests."""
    return {"code.tests_key": settings.code.tests_key}


def optional(settings: Postprocess) -> tuple[str, ...]:
    """Return the column of the prompt, and columns that data sets have beside the tests."""
    return (settings.prompt_key, *OPTIONAL)


def suggested(setting: str, names: list[str]) -> str | None:
    """Return the column that probably belongs to a setting of `columns`."""
    return likely_column(names) if setting == "code.tests_key" else None


def load(settings: Postprocess) -> Scorer:
    """Return the scorer. Raises UserError without code.allow, or if the system is not Linux."""
    if not settings.code.allow:
        raise UserError(
            "scorer=code runs the model's programs on this machine: contained (time, memory, no "
            "network, own directory), but not in a sandbox for hostile code; type code.allow=true"
        )
    if sys.platform != "linux":
        raise UserError(
            f"scorer=code can contain programs on Linux only, and this is {sys.platform}; type "
            "another scorer, or score on Linux"
        )
    code = settings.code
    limits = Limits(settings.timeout_s, int(code.memory_gib * 2**30), int(code.output_mib * 2**20))
    sys.set_int_max_str_digits(0)  # tests may have integers of any length

    def score(response: Response, row: dict[str, Any]) -> Mark:
        prompt = prompted(row.get(settings.prompt_key), row.get("starter_code"))
        tests = tests_of(row, code.tests_key, partial(asked_for, prompt))
        if not response.text.strip():
            return no_answer()
        found = program_in(response, prompt, tests.names, tests.target)
        if found.is_partial:
            return no_answer(error=Verdict.cut_off.value, verdict=Verdict.cut_off)
        if found.text is None:
            return no_answer(error="the response has no Python program")
        program = found.text
        if tests.kind is not Kind.asserts:
            imports = contests.imports_for(program)
            program = f"{imports}\n{program}" if imports else program
        outcome = outcome_of(program, tests, limits, found.helpers)
        share = outcome.num_passed / outcome.num_tests
        return Mark(share, found.text, outcome.error, trace=outcome.trace)

    return score

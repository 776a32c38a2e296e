"""Run other projects' scorers for benchmarks/scorers.py, in the Python that has them installed.

    PYTHON benchmarks/scorers_peers.py NAME < items.json > answers.json

Each function takes the items and returns its answers in the same order: judges of mathematics true
or false, readers of code the program they would run. The deciding code is the peer's own; `rollout`
is not imported here. A peer that cannot be imported answers {"missing": reason}.
"""

import ast
import json
import logging
import os
import sys
from importlib import metadata, util
from pathlib import Path

# Nothing here needs a hub; without this a library contacts one.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
logging.disable(logging.WARNING)


def math_verify_default(items):
    """Call `verify(parse(gold), parse(response))` with all defaults."""
    from math_verify import parse, verify

    return [verify(parse(item["gold"]), parse(item["response"])) for item in items]


def math_verify_latex(items):
    """Do the same with dollar signs around a gold that has none: only there is LaTeX recognized."""
    return math_verify_default(
        [{**i, "gold": i["gold"] if "$" in i["gold"] else f"${i['gold']}$"} for i in items]
    )


def lm_eval_strict(items):
    """Apply the gsm8k task's filter strict-match and its exact_match, as in its YAML."""
    return _lm_eval_gsm8k(items, "strict-match")


def lm_eval_flexible(items):
    """Apply the gsm8k task's filter flexible-extract."""
    return _lm_eval_gsm8k(items, "flexible-extract")


def _lm_eval_gsm8k(items, name):
    import yaml
    from lm_eval.api.metrics import exact_match_fn
    from lm_eval.filters.extraction import RegexFilter

    task = yaml.safe_load((_tasks() / "gsm8k" / "gsm8k.yaml").read_text())
    steps = next(f["filter"] for f in task["filter_list"] if f["name"] == name)
    options = {key: value for key, value in steps[0].items() if key != "function"}
    found = RegexFilter(**options).apply([[item["response"]] for item in items], [{}] * len(items))
    metric = dict(task["metric_list"][0])
    settings = {k: v for k, v in metric.items() if k.startswith(("ignore_", "regexes_"))}

    def judged(given, gold):
        said = exact_match_fn(predictions=[given], references=[gold], **settings)
        return bool(said["exact_match"])

    pairs = zip(found, items, strict=True)
    return [judged(given[0], item["gold"]) for given, item in pairs]


def lm_eval_hendrycks(items):
    """Apply hendrycks_math's `is_equiv` to the content of the last box."""
    from lm_eval.tasks.hendrycks_math.utils import is_equiv, last_boxed_only_string, remove_boxed

    def boxed(text):
        found = last_boxed_only_string(text)
        return remove_boxed(found) if found else text

    return [bool(is_equiv(boxed(i["response"]), boxed(i["gold"]))) for i in items]


def lm_eval_minerva(items):
    """Apply minerva_math's exact_match to answers in the wording it looks for."""
    from lm_eval.tasks.minerva_math import utils

    def judged(item):
        given = item["boxed"]
        words = f"Final Answer: The final answer is ${given}$. I hope it is correct."
        solution = item["gold"] if "\\boxed" in item["gold"] else f"\\boxed{{{item['gold']}}}"
        gold = utils.remove_boxed(utils.last_boxed_only_string(solution))
        doc = {"solution": solution, "answer": utils.normalize_final_answer(gold)}
        results = [item["response"] if given is None else words]
        return bool(utils.process_results(doc, results)["exact_match"])

    return [judged(item) for item in items]


def lm_eval_humaneval(items):
    """Return the program of the task humaneval, which completes the prompt."""
    return _lm_eval_programs(items, "humaneval", "build_predictions")


def lm_eval_humaneval_instruct(items):
    """Return that of humaneval_instruct, whose prompt ends in an open block of its code."""
    return _lm_eval_programs(items, "humaneval", "build_predictions_instruct")


def _lm_eval_programs(items, task, name):
    import yaml

    class Loader(yaml.SafeLoader):
        """A YAML loader that skips `!function`."""

    Loader.add_constructor("!function", lambda loader, node: None)
    folder = _tasks() / "humaneval"
    # Importing the module loads code_eval from a hub, which making the program does not need.
    source = ast.parse((folder / "utils.py").read_text())
    source.body = [n for n in source.body if isinstance(n, ast.FunctionDef) and n.name == name]
    names = {}
    exec(compile(source, "utils.py", "exec"), names)
    text = (folder / f"{task}.yaml").read_text()
    stops = yaml.load(text, Loader)["generation_kwargs"]["until"]
    responses = []
    for item in items:  # where generation would have stopped
        ends = [at for stop in stops if (at := item["response"].find(stop)) >= 0]
        responses.append([item["response"][: min(ends, default=None)]])
    return [programs[0] for programs in names[name](responses, items)]


def evalplus_solution(items):
    """Apply EvalPlus' sanitize to the response as a whole solution."""
    from evalplus.sanitize import sanitize

    return [sanitize(item["response"], item["entry_point"]) for item in items]


def evalplus_completion(items):
    """Apply EvalPlus' sanitize to prompt and response joined, as its script for completions."""
    from evalplus.sanitize import sanitize

    return [
        sanitize(item["prompt"] + "\n" + item["response"], item["entry_point"]) for item in items
    ]


def _tasks():
    return Path(util.find_spec("lm_eval").origin).parent / "tasks"


def main():
    answers = {}
    try:
        answers["answers"] = globals()[sys.argv[1]](json.load(sys.stdin))
    except (ImportError, AssertionError) as error:
        answers["missing"] = f"{type(error).__name__}: {error}"[:200]
    names = ("lm_eval", "math-verify", "evalplus", "sympy", "antlr4-python3-runtime")
    answers["versions"] = {n: v for n in names if (v := _version(n))}
    sys.__stdout__.write("\n" + json.dumps(answers))


def _version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()

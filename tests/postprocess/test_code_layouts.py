"""scorer=code: tests in the layouts of known data sets, run in full or refused with the reason."""

import base64
import gzip
import json
import pickle
import sys
import zlib
from pathlib import Path

import pytest
from processes import DATA

from rollout.config.sections import postprocess as s
from rollout.postprocess.scoring.code.contests import imports_for, is_same_output
from rollout.postprocess.scoring.scorers import Response, Unscorable, Verdict, load_scorer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="contained on Linux only")
HUMANEVAL = DATA / "humaneval.jsonl.gz"

ADD, SUBTRACT = "def add(a, b):\n    return a + b", "def add(a, b):\n    return a - b"
CHECK = "METADATA = {}\n\ndef check(candidate):\n    assert candidate(1, 2) == 3\n"
STUB = 'def add(a, b):\n    """Add."""\n'
CASE = "import unittest\nclass TestCases(unittest.TestCase):\n"
METHOD = "    def test_one(self):\n        self.assertEqual(add(1, 2), 3)\n"
PARAMETRIZE = "import pytest\n@pytest.mark.parametrize('a, b', [(1, 2), pytest.param(3, 4)])\n"
EVALPLUS = (
    "def assertion(out, exp, atol):\n    assert out == exp\n\ninputs = [[1, 2], [2, 2]]\n"
    "results = [3, 4]\nfor inp, exp in zip(inputs, results):\n    assertion(add(*inp), exp, 0)\n"
)
OF_ADD = {
    "asserts": {"tests": ["assert add(1, 2) == 3", "assert add(1, 1) == 2"]},
    "asserts, moved in": {"tests": "\n    assert add(1, 2) == 3\n    assert add(1, 1) == 2\n"},
    "asserts as JSON": {"tests": json.dumps(["assert add(1, 2) == 3"])},
    "asserts as a Python literal": {
        "tests": "['assert add(1, 2) == 3', \"assert add(1, 1) == 2\"]"
    },
    "EvalPlus of MBPP": {"tests": EVALPLUS},
    "HumanEval": {"tests": CHECK, "entry_point": "add"},
    "HumanEval, name from the prompt": {"tests": CHECK, "prompt": STUB},
    "HumanEval, name from a chat": {
        "tests": CHECK,
        "prompt": [{"role": "user", "content": f"Complete:\n```python\n{STUB}```"}],
    },
    "HumanEval with its call": {"tests": CHECK + "\ncheck(add)\n"},
    "HumanEval with its call in a list": {"tests": [CHECK, "check(add)"]},
    "another name for check": {"tests": CHECK.replace("check", "test"), "entry_point": "add"},
    "functions that are called as main": {
        "tests": "def run():\n    assert add(1, 2) == 3\nif __name__ == '__main__':\n    run()\n"
    },
    "unittest": {"tests": CASE + METHOD},
    "unittest with main": {
        "tests": CASE + METHOD + "if __name__ == '__main__':\n    unittest.main()\n"
    },
    "unittest with setUp and subTest": {
        "tests": CASE + "    def setUp(self):\n        self.x = 1\n    def test_one(self):\n"
        "        with self.subTest('x'):\n            self.assertEqual(add(self.x, 2), 3)\n"
    },
    "unittest with setUpClass": {
        "tests": CASE + "    @classmethod\n    def setUpClass(cls):\n        cls.x = 1\n"
        "    def test_one(self):\n        assert add(self.x, 2) == 3\n"
    },
    "pytest": {"tests": "def test_one():\n    assert add(1, 2) == 3\n"},
    "pytest that is called, too": {
        "tests": "def test_one():\n    assert add(1, 2) == 3\ntest_one()\n"
    },
    "pytest with an import": {
        "tests": "from solution import add\ndef test_one():\n    assert add(1, 2) == 3\n"
    },
    "pytest with a module": {
        "tests": "import solution as s\ndef test_one():\n    assert s.add(1, 2) == 3\n"
    },
    "pytest with parametrize": {
        "tests": PARAMETRIZE + "def test_one(a, b):\n    assert add(a, b) == a + b\n"
    },
    "pytest with raises": {
        "tests": "import pytest\ndef test_one():\n    with pytest.raises(ZeroDivisionError):\n"
        "        1 / (add(1, 2) - 3)\n"
    },
    "pytest class": {
        "tests": "class TestAdd:\n    def setup_method(self):\n        self.x = 1\n"
        "    def test_one(self):\n        assert add(self.x, 2) == 3\n"
    },
    "an exception for a check": {
        "tests": "def test_one():\n    if add(1, 2) != 3:\n        raise ValueError('no')\n"
    },
    "APPS with fn_name": {
        "tests": json.dumps({"fn_name": "add", "inputs": [[1, 2]], "outputs": [[3]]})
    },
    "APPS with plain results": {
        "tests": {"fn_name": "add", "inputs": [[1, 2], [2, 2]], "outputs": [3, 4]}
    },
    "LiveCodeBench, functional": {
        "tests": json.dumps([{"input": "1\n2", "output": "3", "testtype": "functional"}]),
        "metadata": json.dumps({"func_name": "add"}),
    },
    "LiveCodeBench, starter_code": {
        "tests": [{"input": "1\n2", "output": "3", "testtype": "functional"}],
        "starter_code": "class Solution:\n    def add(self, a: int, b: int) -> int:\n        ",
    },
}
LIVE = json.dumps([{"input": "1 2\n", "output": "3\n", "testtype": "stdin"}])
PACKED = {
    number: base64.b64encode(zlib.compress(pickle.dumps(LIVE, number))).decode()
    for number in (0, 2, 4)
}
OF_SUM = {
    "APPS": json.dumps({"inputs": ["1 2\n", "3 4\n"], "outputs": ["3\n", "7\n"]}),
    "APPS in lines": {"inputs": [["1 2"]], "outputs": [["3"]]},
    "pairs": [{"input": "1 2", "output": "3"}, {"input": "3 4", "output": "7"}],
    "one pair": {"input": "1 2", "output": "3"},
    "no fn_name": {"inputs": ["1 2"], "outputs": ["3"], "fn_name": None},
    "LiveCodeBench": LIVE,
    "LiveCodeBench, packed": PACKED[4],
    "LiveCodeBench, packed of old": PACKED[2],
    "typed test cases": {"test_cases": [{"input": "1 2", "output": "3", "type": "stdin_stdout"}]},
}


def score(text, row, is_cut=False):
    scorer = load_scorer(s.Postprocess(scorer="code", code=s.Code(allow=True)))
    return scorer(Response(text, is_cut), row)


def fenced(code):
    return f"Here it is:\n\n```python\n{code}\n```\nThat is all."


@pytest.mark.parametrize("row", OF_ADD.values(), ids=OF_ADD)
def test_a_layout_tells_right_from_wrong(row):
    assert score(fenced(ADD), row).score == 1.0
    for wrong in (SUBTRACT, "def add(a, b):\n    import os\n    os._exit(0)"):
        assert score(fenced(wrong), row).score == 0.0
    assert score("I can't do that.", row).verdict is Verdict.no_answer


@pytest.mark.parametrize("tests", OF_SUM.values(), ids=OF_SUM)
def test_a_layout_of_input_and_output_tells_right_from_wrong(tests):
    right = "a, b = map(int, input().split())\nprint(a + b)"
    assert score(fenced(right), {"tests": tests}).score == 1.0
    for wrong in (right.replace("a + b", "a - b"), "import sys\nsys.exit(0)"):
        assert score(fenced(wrong), {"tests": tests}).score == 0.0


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"tests": None}, "null"),
        ({"tests": []}, "no tests"),
        ({"tests": "  "}, "no tests"),
        ({"tests": [1]}, "list of ints"),
        ({"tests": CHECK}, "no column entry_point"),
        ({"tests": CHECK, "entry_point": "no name"}, "not the name of a function"),
        ({"tests": "def run():\n    assert add(1, 2) == 3\n"}, "only defines run"),
        ({"tests": "# assert add(1, 2) == 3"}, "only defines nothing"),
        ({"tests": CASE + METHOD.replace("test_one", "helper")}, "only defines TestCases"),
        ({"tests": "if False:\n    assert add(1, 2) == 3"}, "ran nothing"),
        ({"tests": "print(add(1, 2))"}, "ran nothing"),
        ({"tests": "for x in []:\n    assert add(x, 2) == 3"}, "ran nothing"),
        ({"tests": CASE + "    @unittest.skip('later')\n" + METHOD}, "ran nothing"),
        ({"tests": "assert 1 + 1 == 2"}, "uses nothing that the program defines"),
        ({"tests": "int main() { assert(add(1, 2) == 3); }"}, "not Python"),
        ({"tests": "import not_installed_here\nassert add(1, 2) == 3"}, "not installed here"),
        ({"tests": "def test_one(capsys):\n    assert add(1, 2) == 3"}, "takes capsys"),
        ({"tests": "async def test_one():\n    assert add(1, 2) == 3"}, "async"),
        ({"tests": PARAMETRIZE.replace("'a, b'", "NAMES") + "def test_one(a, b):\n    pass"},
         "names are not a literal"),
        ({"tests": {"inputs": ["1"], "outputs": []}}, "1 inputs and 0 outputs"),
        ({"tests": [{"input": "1", "output": "2", "checker": "x"}]}, "'checker'"),
        ({"tests": [{"input": "1", "output": "2", "testtype": "interactive"}]}, "interactive"),
        ({"tests": [{"input": "[1]", "output": "1", "testtype": "functional"}]}, "giving its name"),
        ({"tests": [{"input": "1", "output": "2", "testtype": "functional"},
                    {"input": "1", "output": "2", "testtype": "stdin"}]}, "mixes"),
        ({"tests": base64.b64encode(zlib.compress(pickle.dumps(Path("x" * 20)))).decode()},
         "can run code"),
        ({"tests": ["assert add(x, 2) == 3"], "test_setup_code": "x = 1 / 0"}, "setup code fails"),
    ],
)  # fmt: skip
def test_tests_that_cannot_be_run_as_they_are_meant_leave_the_row_unjudged(row, said):
    for text in (fenced(ADD), fenced(SUBTRACT)):
        with pytest.raises(Unscorable, match=said):
            score(text, row)


def test_each_test_method_and_function_counts_as_one():
    two = "    def test_two(self):\n        self.assertEqual(add(1, 0), 1)\n"
    assert score(fenced(SUBTRACT), {"tests": CASE + METHOD + two}).score == 0.5
    functions = (
        "def test_one():\n    assert add(1, 2) == 3\ndef test_two():\n    assert add(1, 0)\n"
    )
    mark = score(fenced(SUBTRACT), {"tests": functions})
    assert (mark.score, mark.error) == (0.5, "test_one: AssertionError: assert add(1, 2) == 3")


def test_set_up_code_runs_before_the_program_and_sees_its_classes():
    node = "class Node:\n    def __init__(self, value):\n        self.value = value\n"
    reads = "def add(a, b):\n    return a.value + b.value"
    uses = {"tests": ["assert add(x, x) == 2"], "test_setup_code": "x = Node(1)"}
    assert score(fenced(node + reads), uses).score == 1.0
    gives = {"tests": ["assert add(Node(1), Node(2)) == 3"], "test_setup_code": node}
    guarded = "def add(a, b):\n    return a.value + b.value if isinstance(a, Node) else 0"
    assert score(fenced(guarded), gives).score == 1.0
    assert score(fenced(node + guarded), gives).score == 1.0


def test_a_function_with_the_name_of_one_of_pythons_is_the_programs():
    row = {"tests": ["assert sum(10, 15) == 6"]}
    assert score(fenced("def sum(a, b):\n    return 6"), row).score == 1.0
    assert score(fenced("pass"), {"tests": ["assert max(1, 2) == 2"]}).score == 0.0


def test_a_helper_that_the_prompt_gives_to_the_tests_is_not_replaced():
    row = {
        "prompt": "def poly(xs, x):\n    return xs[0] + xs[1] * x\n\n\n"
        'def zero(xs):\n    """Find its zero."""\n',
        "tests": "def check(candidate):\n    assert abs(poly([1, 1], candidate([1, 1]))) < 1e-6\n",
        "entry_point": "zero",
    }
    assert score("    return -1\n", row).score == 1.0
    assert score(fenced("def zero(xs):\n    return -1"), row).score == 1.0
    cheat = "def poly(xs, x):\n    return 0\n\ndef zero(xs):\n    return 5"
    assert score(fenced(cheat), row).score == 0.0


def test_a_result_that_claims_to_equal_everything_does_not():
    row = {"tests": {"fn_name": "f", "inputs": [[1]], "outputs": [[[1, 2]]]}}
    cheat = "class All(list):\n    def __eq__(self, other): return True\n"
    assert score(fenced(cheat + "def f(x): return All()"), row).score == 0.0
    assert score(fenced("def f(x): return (1, 2)"), row).score == 1.0


def test_integers_of_any_length_are_exact():
    number = "1" + "0" * 5000
    row = {"tests": {"inputs": ["5000"], "outputs": [number]}}
    assert score(fenced("print(10 ** int(input()))"), row).score == 1.0
    assert score(fenced("print(10 ** int(input()) + 1)"), row).score == 0.0
    calls = {"tests": f'{{"fn_name": "f", "inputs": [[5000]], "outputs": [{number}]}}'}
    assert score(fenced("def f(n): return 10 ** n"), calls).score == 1.0
    assert score(fenced("def f(n): return 10 ** n + 1"), calls).score == 0.0


@pytest.mark.parametrize(
    ("printed", "wanted", "is_same"),
    [
        ("3\n", "3", True),
        ("1 2\r\n3 \r\n", "1 2\n3", True),
        ("0.333333", "0.333333333333", True),
        ("0.34", "0.333333333333", False),
        ("3.0", "3", True),
        ("2.9999999", "3", True),
        ("1000000.4", "1000000", False),
        ("1e9", "1000000000.0", True),
        ("12345678901234568", "12345678901234567", False),
        ("1.2345678901234568e16", "12345678901234567", False),
        ("010", "10", False),
        ("[0.3333333, 1]", "[0.333333333, 1]", True),
        ("(0.3333333, 1]", "[0.333333333, 1]", False),
        ("YES", "NO", False),
        ("nan", "0.5", False),
        ("1 2", "1 2 3", False),
        ("", "", True),
        ("1e999999999", "1.5", False),
    ],
)
def test_output_is_compared_as_contest_judges_do(printed, wanted, is_same):
    assert is_same_output(printed, wanted) is is_same


def test_programs_of_contests_need_not_import_what_the_harnesses_do():
    assert imports_for("print(sqrt(4), math.pi, x)") == "import math; from math import sqrt"
    assert imports_for("from math import sqrt\nprint(sqrt(4))") == ""
    row = {"tests": [{"input": "[2, 1]", "output": "[1, 2]", "testtype": "functional"}]}
    program = "class Solution:\n    def order(self, a: List[int]):\n        return sorted(a)"
    assert score(fenced(program), row | {"fn_name": "order"}).score == 1.0


def test_humaneval_is_scored_as_it_is_distributed():
    problems = [json.loads(line) for line in gzip.decompress(HUMANEVAL.read_bytes()).splitlines()]
    for problem in problems[::9]:
        prompt, body = problem["prompt"], problem["canonical_solution"]
        row = problem | {"tests": problem["test"]}
        texts = [fenced(prompt + body), prompt + body, body, body.lstrip(" ")]
        assert [score(text, row).score for text in texts] == [1.0] * 4
        assert score(fenced(prompt + "    return None\n"), row).score == 0.0


def test_a_missing_column_of_tests_is_told_by_its_likely_name():
    from rollout.postprocess.scoring import code

    assert code.suggested("code.tests_key", ["prompt", "test", "entry_point"]) == "test"
    assert code.suggested("code.tests_key", ["prompt", "responses"]) is None

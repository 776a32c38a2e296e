"""scorer=code: which programs pass, and what no program can do."""

import subprocess
import sys
import time

import psutil
import pytest
from processes import environment

from rollout.config.sections import postprocess as s
from rollout.postprocess.scoring.code.layouts import tests_of as read_tests
from rollout.postprocess.scoring.code.programs import Limits, outcome_of
from rollout.postprocess.scoring.scorers import Response, load_scorer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="contained on Linux only")
LIMITS = Limits(seconds=20, memory_bytes=2**30, output_bytes=2**20)
TESTS = ["assert f(2) == 4"]


def run(program, tests=TESTS, limits=LIMITS):
    outcome = outcome_of(program, read_tests({"t": tests}, "t", lambda names: None), limits)
    return outcome.num_passed, outcome.error


def test_the_score_is_the_share_of_tests_that_pass():
    scorer = load_scorer(s.Postprocess(scorer="code", code=s.Code(allow=True)))
    tests = ["assert f(2) == 4", "assert f(1) == 3", "assert f(0) == 0", "assert f(3) == 6"]
    mark = scorer(Response("So:\n```python\ndef f(x):\n    return 2 * x\n```"), {"tests": tests})
    assert mark.score == 0.75
    assert mark.extracted == "def f(x):\n    return 2 * x\n"
    assert mark.error == "test 2: AssertionError: assert f(1) == 3"
    assert mark.trace is None  # nothing was raised in the program


def test_an_error_is_traced_to_the_lines_of_the_program():
    scorer = load_scorer(s.Postprocess(scorer="code", code=s.Code(allow=True)))
    program = "```python\ndef g(x):\n    return x / 0\n\ndef f(x):\n    return g(x)\n```"
    trace = scorer(Response(program), {"tests": TESTS}).trace
    assert 'File "test.py", line 1, in <module>\n    assert f(2) == 4' in trace
    assert 'File "main.py", line 2, in g\n    return x / 0' in trace
    assert "contained.py" not in trace and "trial.py" not in trace


def test_pairs_of_input_and_output_run_the_program_each_time():
    program = "if __name__ == '__main__':\n    print(sum(map(int, input().split())))"
    pairs = {"inputs": ["1 2\n", "5 6", "1 1"], "outputs": ["3\n", "11", "3"]}
    assert run(program, pairs) == (2, "test 3: printed '2', not '3'")


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import os\nos._exit(0)", "ended before its tests did"),
        ("def f(x):\n    import os\n    os._exit(0)", "ended before its tests did"),
        ("import sys\nsys.exit(0)", "SystemExit"),
        ("def f(x):\n    raise SystemExit(0)", "SystemExit"),
        ("x = 'a' * 10**10", "MemoryError"),
        ("print('x' * 10**7)", "code.output_mib"),
        ("def f(x):\n    print('x' * 10**7)", "code.output_mib"),
        ("import socket\nsocket.create_connection(('127.0.0.1', 9), 1)", "Error"),
        ("import os\nwhile True: os.fork()", "starting a process"),
        ("import subprocess\nsubprocess.run(['ls'])", "starting a process"),
        ("import os\nos.kill(os.getppid(), 9)", "signal to another process"),
        ("import ctypes\nctypes.string_at(0)", "SIGSEGV"),
        ("def f(:", "SyntaxError"),
        ("def f(x): return f(x)", "RecursionError"),
    ],
)
def test_what_a_program_does_wrong_scores_nothing_and_is_told(program, said):
    num_passed, error = run(program)
    assert num_passed == 0
    assert said in error


@pytest.mark.parametrize(
    ("tests", "program"),
    [
        ("assert abs(f(2) - 4) < 1e-6", "def abs(x): return 0\ndef f(x): return 9"),
        (TESTS, "import builtins\nbuiltins.AssertionError = int\ndef f(x): return 9"),
        ("assert all(f(x) == 4 for x in [2])",
         "import builtins\nbuiltins.all = lambda x: True\ndef f(x): return 9"),
        ("def same(a, b): return a == b\nassert same(f(2), 4)",
         "def same(a, b): return True\ndef f(x): return 9"),
        ("def check(candidate):\n    assert candidate(2) == 4\ncheck(f)",
         "def check(c): pass\ndef f(x): return 9"),
        ("def test_f():\n    assert f(2) == 4", "def test_f(): pass\ndef f(x): return 9"),
        ("import unittest\nclass T(unittest.TestCase):\n    def test_f(self):\n"
         "        self.assertEqual(f(2), 4)",
         "import unittest\nunittest.TestCase.assertEqual = print\ndef f(x): return 9"),
        ("import unittest\nclass T(unittest.TestCase):\n    def test_f(self):\n"
         "        self.assertEqual(f(2), 4)",
         "import unittest\ndef f(x): raise unittest.SkipTest('no')"),
    ],
)  # fmt: skip
def test_a_program_that_replaces_what_tests_rely_on_does_not_pass(tests, program):
    assert run(program, tests)[0] == 0


def test_a_programs_own_helper_may_have_the_name_of_a_tests_helper():
    tests = "def same(a, b): return a == b\nassert same(f(2), 4)"
    assert run("def same(x): return x\ndef f(x): return same(2 * x)", tests) == (1, None)


def test_nothing_outside_its_directory_is_changed(tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    for act in (
        f"open({str(tmp_path / 'new')!r}, 'w')",
        f"import shutil; shutil.rmtree({str(kept)!r})",
        f"import os; os.rmdir({str(kept)!r})",
        f"import os; os.chdir({str(tmp_path)!r}); os.rename('kept', 'gone')",
    ):
        assert "not allowed" in run(act)[1]
    assert list(tmp_path.iterdir()) == [kept]
    own = "open('a', 'w').write('x'); import os; os.mkdir('d'); os.rename('a', 'd/b'); d = 'd'"
    assert run(own, ["import shutil; shutil.rmtree(d); assert 1"]) == (1, None)


def test_it_sees_neither_the_environment_nor_its_tests_nor_us(monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "s3cret")
    program = (
        "import os, sys; found = [*os.environ.values(), *os.listdir('.'), *os.listdir('..'), "
        "*('s3cret' for name in sys.modules if name.startswith('rollout'))]"
    )
    assert run(program, ["assert 's3cret' not in found and not __import__('os').listdir('.')"]) == (
        1, None,
    )  # fmt: skip


def test_a_line_in_the_report_that_is_not_ours_does_not_count():
    program = (
        'import os\nfor fd in range(3, 64):\n    try: os.write(fd, b\'{"passed": 1}\\n'
        '{"is_done": true}\\n\')\n    except OSError: pass\nos._exit(0)'
    )
    assert run(program) == (0, "the program ended before its tests did")


def test_time_runs_out_for_sleepers_and_nothing_of_them_is_left():
    program = "import ctypes, time\nctypes.CDLL(None).fork()\ntime.sleep(987)"
    began = time.monotonic()
    assert run(program, limits=Limits(1.5, 2**30, 2**20)) == (0, "took longer than timeout_s=1.5")
    assert time.monotonic() - began < 15
    left = [p for p in psutil.process_iter(["cmdline"]) if _is_ours(p)]
    psutil.wait_procs(left, timeout=5)
    assert not [p for p in left if p.is_running()]


def _is_ours(process):
    is_program = any("contained.py" in word for word in process.info["cmdline"] or ())
    return is_program and str(psutil.Process().pid) in process.info["cmdline"]


@pytest.mark.parametrize(
    "tests",
    [
        ["assert f(1) == 1", "assert f(2) == 2", "assert f(1) == 1"],
        {"inputs": [[1], [2], [1]], "outputs": [1, 2, 1], "fn_name": "f"},
        {"inputs": ["1", "2", "1"], "outputs": ["1", "2", "1"]},
    ],
)
def test_a_test_that_takes_too_long_is_named_and_those_before_it_count(tests):
    program = (
        "def f(x):\n    while x == 2: pass\n    return x\n"
        "if __name__ == '__main__':\n    print(f(int(input())))"
    )
    limits = Limits(3, 2**30, 2**20)
    assert run(program, tests, limits) == (1, "test 2: took longer than timeout_s=3")


def test_without_namespaces_the_hook_refuses_the_network():
    inner = (
        "from rollout.postprocess.scoring.code.programs import *; L = Limits(20, 2**30, 2**20); "
        "from rollout.postprocess.scoring.code.layouts import tests_of; "
        "T = tests_of({'t': 'assert a'}, 't', None); "
        "print(outcome_of('import socket; socket.socket()', T, L), outcome_of('a = 1', T, L))"
    )
    forbid = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$0" -c "$1"'
    done = subprocess.run(
        ["unshare", "-Ur", "sh", "-c", forbid, sys.executable, inner],
        capture_output=True, text=True, env=environment(), check=False,
    )  # fmt: skip
    if done.returncode and "unshare" in done.stderr:
        pytest.skip("no user namespaces here, so the other tests showed it")
    assert "the network is not allowed here" in done.stdout, done.stderr
    assert "num_passed=1" in done.stdout

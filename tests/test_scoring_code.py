"""scorer=code: which programs pass, and what none of them gets to do."""

import subprocess
import sys
import time

import psutil
import pytest
from processes import environment

from rollout.scoring import code
from rollout.scoring import settings as s
from rollout.scoring.code import Limits, program_in, run
from rollout.scoring.scorers import Response, Unscorable, load_scorer

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="contained on Linux only")
LIMITS = Limits(seconds=20, memory_bytes=2**30, output_bytes=2**20)
TESTS = ["assert f(2) == 4"]


def test_the_score_is_the_share_of_tests_that_pass():
    scorer = load_scorer(s.Postprocess(scorer="code", code=s.Code(allow=True)))
    tests = ["assert f(2) == 4", "assert f(1) == 3", "assert f(0) == 0", "assert f(3) == 6"]
    mark = scorer(Response("So:\n```python\ndef f(x):\n    return 2 * x\n```"), {"tests": tests})
    assert mark.score == 0.75
    assert mark.extracted == "def f(x):\n    return 2 * x\n"
    assert mark.error == "AssertionError: "


def test_pairs_of_input_and_output_run_the_program_each_time():
    program = "if __name__ == '__main__':\n    print(sum(map(int, input().split())))"
    assert run(program, [("1 2\n", "3\n"), ("5 6", "11"), ("1 1", "3")], LIMITS) == (
        2, "printed '2\\n', not '3'",
    )  # fmt: skip


def test_tests_come_in_many_shapes():
    pairs = [("1", "2")]
    assert code.tests_of("assert 1", "t") == ["assert 1"]
    assert code.tests_of('["assert 1", "assert 2"]', "t") == ["assert 1", "assert 2"]
    for value in (
        [{"input": "1", "output": "2"}], {"inputs": ["1"], "outputs": ["2"]},
        '{"inputs": ["1"], "outputs": ["2"]}', {"input": "1", "output": "2"},
    ):  # fmt: skip
        assert code.tests_of(value, "t") == pairs
    for value in (None, "", [], 3, {"inputs": ["1"], "outputs": []}):
        with pytest.raises(Unscorable):
            code.tests_of(value, "t")


def test_the_last_python_block_is_the_program():
    assert program_in("```python\na\n```\n```py\nb\n```\n```json\nc\n```") == "b\n"
    assert program_in("```\na\n```") == "a\n"
    assert program_in("no fence") == "no fence"
    assert program_in("```python\ncut off") == "cut off"
    assert program_in("```bash\nls\n```") is None


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import os\nos._exit(0)", "ended before its tests"),
        ("import sys\nsys.exit(0)", "SystemExit"),
        ("x = 'a' * 10**10", "MemoryError"),
        ("print('x' * 10**7)", "code.output_mib"),
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
    num_passed, error = run(program, TESTS, LIMITS)
    assert num_passed == 0
    assert said in error


def test_nothing_outside_its_directory_is_changed(tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    for act in (
        f"open({str(tmp_path / 'new')!r}, 'w')",
        f"import shutil; shutil.rmtree({str(kept)!r})",
        f"import os; os.rmdir({str(kept)!r})",
        f"import os; os.chdir({str(tmp_path)!r}); os.rename('kept', 'gone')",
    ):
        assert "not allowed" in run(act, TESTS, LIMITS)[1]
    assert list(tmp_path.iterdir()) == [kept]
    own = "open('a', 'w').write('x'); import os; os.mkdir('d'); os.rename('a', 'd/b')"
    assert run(own, ["import shutil; shutil.rmtree('d')"], LIMITS) == (1, None)


def test_it_sees_neither_the_environment_nor_its_tests(monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "s3cret")
    program = "import os; found = [*os.environ.values(), *os.listdir('.'), *os.listdir('..')]"
    assert run(program, ["assert 's3cret' not in found and not os.listdir('.')"], LIMITS)[0] == 1


def test_time_runs_out_for_sleepers_and_nothing_of_them_is_left():
    program = "import ctypes, time\nctypes.CDLL(None).fork()\ntime.sleep(987)"
    began = time.monotonic()
    num_passed, error = run(program, TESTS, Limits(1.5, 2**30, 2**20))
    assert (num_passed, error) == (0, "took longer than timeout_s=1.5")
    assert time.monotonic() - began < 15
    left = [p for p in psutil.process_iter(["cmdline"]) if _is_ours(p)]
    psutil.wait_procs(left, timeout=5)
    assert not [p for p in left if p.is_running()]


def _is_ours(process):
    is_program = any("contained.py" in word for word in process.info["cmdline"] or ())
    return is_program and str(psutil.Process().pid) in process.info["cmdline"]


def test_without_namespaces_the_hook_refuses_the_network():
    inner = (
        "from rollout.scoring.code import *; L = Limits(20, 2**30, 2**20); "
        "print(run('import socket; socket.socket()', ['1'], L), run('', ['assert 1'], L))"
    )
    forbid = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$0" -c "$1"'
    done = subprocess.run(
        ["unshare", "-Ur", "sh", "-c", forbid, sys.executable, inner],
        capture_output=True, text=True, env=environment(), check=False,
    )  # fmt: skip
    if done.returncode and "unshare" in done.stderr:
        pytest.skip("no user namespaces here, so the other tests showed it")
    assert "the network is not allowed here" in done.stdout, done.stderr
    assert done.stdout.strip().endswith("(1, None)")

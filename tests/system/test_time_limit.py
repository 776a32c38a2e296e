"""Templates end: limits of time, memory and output, and an error of only that row."""

import json
import signal
import threading
import time

import pytest
from jinja2 import Environment
from prompt_files import read, write

from rollout.config.sections.data import Data
from rollout.errors import UserError
from rollout.inputs.prompts import open_prompts
from rollout.inputs.row_template import open_condition, open_template
from rollout.plan.prompts.chat_template import rendered
from rollout.system import time_limit
from rollout.system.time_limit import OverLimit, limited

LOOPS = "{% for i in range(n) %}{% for j in range(n) %}{% endfor %}{% endfor %}{{ q }}"
DOUBLED = "{% set x = namespace(a=q) %}{% for i in range(n) %}{% set x.a = x.a ~ x.a %}{% endfor %}"


@pytest.fixture
def soon(monkeypatch):
    """Shorten the limit for the test."""
    monkeypatch.setattr(time_limit, "LIMIT_S", 0.3)


def test_a_row_whose_template_does_not_end_is_a_fault_of_that_row_alone(soon, tmp_path):
    """Two nested loops hung a plan and a run at any row that made them long."""
    path = write(tmp_path / "in.parquet", q=["a", "b", "c"], n=[1, 99_999, 2])
    start = time.monotonic()
    first, second, third = read(path, template=LOOPS)
    assert time.monotonic() - start < 8
    assert (first.content, third.content) == ("a", "c")
    assert second.error == "data.template fails on this row: takes more than 0.3 s"


def test_a_text_that_doubles_and_doubles_ends_before_memory_does(tmp_path):
    path = write(tmp_path / "in.parquet", q=["a"], n=[60])
    (prompt,) = read(path, template=DOUBLED + "{{ x.a }}")
    assert "takes more than 512 MiB of memory" in prompt.error


def test_a_template_without_end_on_its_first_rows_ends_the_launch(soon, tmp_path):
    """Otherwise each row takes the whole limit, for hours in all."""
    path = write(tmp_path / "in.parquet", q=list("abcd"), n=[99_999] * 4)
    with pytest.raises(UserError, match=r"data.template takes more than .* first 3 rows, such as"):
        read(path, template=LOOPS)


def test_a_row_that_took_too_long_is_not_tried_again(soon, tmp_path):
    path = write(tmp_path / "in.parquet", q=["a", "b"], n=[1, 99_999])
    prompts = open_prompts(Data(input=path, template=LOOPS))
    errors = [[prompt.error for prompt in prompts] for _ in range(2)]
    start = time.monotonic()
    assert errors == [[prompt.error for prompt in prompts]] * 2
    assert time.monotonic() - start < 0.25


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        ("'a' * 10 ** 10", "10,000,000,000 characters"),
        ("10 ** (10 ** 10)", "an integer of thousands of digits"),
        ("q | center(10 ** 9)", "1,000,000,000 for a width"),
        ("q.zfill(10 ** 9)", "1,000,000,000 for a width"),
        ("'%1000000000d' % n", "a width of six digits"),
        ("'{:>{}}'.format(q, 10 ** 9)", "a width of six digits"),
        ("('a' * 999999).replace('a', 'b' * 999999)", "characters"),
        ("range(99999) | join('b' * 999999)", "characters"),
        ("[q] * 10 ** 9", "1,000,000,000 characters"),
        ("5 | round(-(10 ** 9))", "for a width or count"),
        ("range(10 ** 12) | list", "Range too big"),
    ],
)
def test_one_step_makes_no_more_than_a_prompt_could_have(step, reason):
    """No timer can end one C call: these took all memory, or hours."""
    row = {"q": "a", "n": 5}
    for asked in (
        lambda: open_template("{{ " + step + " }}{{ q }}").render(row),
        lambda: open_condition(step, "filter").holds(row),
        lambda: rendered("{{ " + step + " }}", row),
    ):
        with pytest.raises(Exception, match=reason):
            asked()


def test_a_chat_template_that_does_not_end_is_ended(soon):
    with pytest.raises(OverLimit, match="takes more than"):
        rendered(LOOPS, {"n": 99_999})
    source = "{% set x = namespace(a=[1]) %}{% for i in range(60) %}"
    source += "{% set x.a = [x.a, x.a] %}{% endfor %}{{ x.a | tojson }}"
    with pytest.raises(ValueError, match="values or more"):
        rendered(source, {})


def test_a_regular_expression_without_end_is_ended(soon):
    import re

    with pytest.raises(OverLimit, match="takes more than"):
        limited(re.match, r"(a+)+$", "a" * 40 + "b")


def test_a_template_that_is_nested_too_deep_is_refused_in_one_line():
    """Python compiles at most 20 nested loops; more ended in a traceback."""
    for source in ("{% for i in q %}" * 30 + "{% endfor %}" * 30, "{{ " + "(" * 9999):
        with pytest.raises(UserError, match=r"data\.template is n"):
            open_template(source)


def test_a_stop_ends_a_template_at_once_and_is_not_taken_for_the_limit():
    class Stopped(BaseException):
        pass

    def stop(number, frame):
        raise Stopped

    before = signal.signal(signal.SIGUSR2, stop)
    threading.Timer(0.3, signal.raise_signal, [signal.SIGUSR2]).start()
    try:
        with pytest.raises(Stopped):
            open_template(LOOPS).render({"n": 99_999, "q": ""})
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_a_template_ends_in_any_thread(soon):
    said = []

    def ask():
        for n in (2, 99_999, 3):
            try:
                said.append(rendered(LOOPS, {"n": n, "q": n}))
            except OverLimit as error:
                said.append(str(error))

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert said == ["2", "takes more than 0.3 s", "3"]


def test_a_timer_that_was_there_before_comes_back():
    while time_limit._watch.is_armed:
        sum(range(10_000))
    ticks = []
    before = signal.signal(signal.SIGPROF, lambda *_: ticks.append(1))
    signal.setitimer(signal.ITIMER_PROF, 0.05, 0.05)
    try:
        limited(sum, range(1000))
        while time_limit._watch.is_armed:
            sum(range(10_000))
        num_ticks, start = len(ticks), time.process_time()
        while time.process_time() - start < 0.3:
            pass
        assert len(ticks) > num_ticks
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def test_a_timer_that_others_took_is_started_again(soon, monkeypatch):
    """A library that sets SIGPROF removed the limit for good."""
    monkeypatch.setattr(time_limit, "LOOK_S", 0.0)
    limited(sum, range(9))
    signal.setitimer(signal.ITIMER_PROF, 0)
    before = signal.signal(signal.SIGPROF, signal.SIG_IGN)
    try:
        with pytest.raises(OverLimit):
            rendered(LOOPS, {"n": 99_999})
    finally:
        signal.signal(signal.SIGPROF, before)


def test_a_process_that_has_rendered_ends_as_any_other(tmp_path):
    """Python removes its handlers at exit; a later tick killed the process."""
    from processes import run_module

    rows = [{"q": "x" * 100}] * 20_000
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, rows)))
    words = ["source=in.jsonl", "template={{ q }}", "output.path=out.parquet"]
    assert "20,000 rows read" in run_module("rollout.prepare", *words, cwd=tmp_path).stdout


def test_what_stays_within_the_limits_is_what_plain_jinja_makes():
    row = {"q": "a b\nc", "n": 7, "l": ["x", "y"]}
    for source in (
        "{{ 'ab' * n }}{{ n * 'ab' }}{{ 2 ** n }}{{ n % 4 }}{{ '%s-%5d' % (q, n) }}{{ -n * 2 }}",
        "{{ '{} {:>5}'.format(q, n) }}{{ q | center(20) }}{{ q | indent(2) }}{{ l | join('-') }}",
        "{% for i in range(n) %}{{ q.replace('a', 'bb') }}{{ '-'.join(l) }}{% endfor %}",
        "{{ l | batch(2) | list | length }}{{ n | round(1) }}{{ [1, 2] | sum }}{{ q.zfill(9) }}",
    ):
        wanted = Environment().from_string(source).render(row)
        assert open_template(source).render(row) == rendered(source, row) == wanted

"""scorer=code: the program in a response, wherever it is and whatever is around it."""

import pytest

from rollout.postprocess.scoring.code.program import program_in
from rollout.postprocess.scoring.code.prompted import asked_for, prompted
from rollout.postprocess.scoring.scorers import Response

ADD, WRONG = "def add(a, b):\n    return a + b\n", "def add(a, b):\n    return a - b\n"
OPENED = "Add two numbers.\n\n```python\n"
PROMPT = (
    "from typing import List\n\n\ndef same(x):\n    return x\n\n\n"
    'def total(xs: List[int]) -> int:\n    """Sum.\n\n    >>> total([1])\n    1\n    """\n'
)


def found(text, prompt=None, names=("add",), is_cut=False, target=None):
    return program_in(Response(text, is_cut), prompted(prompt, None), names, target)


def made(text, prompt=None, name="add"):
    """Return the function that the program in a response defines."""
    names = {}
    exec(found(text, prompt, (name,)).text, names)
    return names[name]


def chat(*contents):
    roles = ("user", "assistant") * len(contents)
    return [{"role": r, "content": c} for r, c in zip(roles, contents, strict=False)]


@pytest.mark.parametrize(
    "text",
    [
        f"```python\n{ADD}```",
        f"~~~python\n{ADD}~~~",
        f"````py\n{ADD}````",
        f"```Python\n{ADD}```",
        f"```python3\n{ADD}```",
        f"``` {{.python}}\n{ADD}```",
        f'```python title="add.py"\n{ADD}```',
        f"```\n{ADD}```\nOutput:\n```\n3\n```",
        f"```python\n{ADD}",
        f"```python\n{ADD}".replace("\n", "\r\n") + "```\r\n",
        f"<answer>\n```python\n{ADD}```\n</answer>",
        "```python\n    def add(a, b):\n        return a + b\n```",
        "1. So:\n\n   ```python\n   def add(a, b):\n       return a + b\n   ```\n2. Done",
        "1. So:\n   ```python\ndef add(a, b):\n    return a + b\n   ```\n2. Done",
        "- So:\n    ```python\n    def add(a, b):\n        return a + b\n    ```",
        "        ```python\n        def add(a, b):\n            return a + b\n        ```",
        "> ```python\n> def add(a, b):\n>     return a + b\n> ```",
        "* ```python\n  def add(a, b):\n      return a + b\n  ```",
        f"Here it is: ```python\n{ADD}``` Done.",
        f"```python\n{ADD}```This adds the two.",
        f"```python\n{ADD}``` This adds:\n\n```\n3\n```",
        f"```python\n{ADD.rstrip()}```",
        f"```python\n```python\n{ADD}```",
    ],
)
def test_a_fence_of_any_make_holds_the_program(text):
    assert made(text)(1, 2) == 3


@pytest.mark.parametrize(
    "text",
    [
        f"```python\n{ADD}```\nUsage:\n```python\nprint(add(1, 2))\n```",
        f"```python\n{ADD}```\n```python\nassert add(1, 2) == 3\n```",
        f"```python\n{ADD}```\n```python\nif __name__ == '__main__':\n    print(add(1, 2))\n```",
        f"```python\n{ADD}```\n```python\nfrom solution import add\nprint(add(1, 2))\n```",
        f"```python\n{ADD}```\n```python\n>>> add(1, 2)\n3\n```",
        f"```python\n{ADD}```\n```bash\npython add.py\n```\n```json\n{{}}\n```\n```text\n3\n```",
        f"```pycon\n>>> add(1, 2)\n```\n```python\n{ADD}```",
        f"```python\n{WRONG}```\nOops:\n```python\n{ADD}```",
        f"```python\n{ADD}```\nIts signature:\n```python\ndef add(a, b):\n    ...\n```",
        f"```python\nimport math\n```\n```python\n{ADD}```",
        "```python\ndef f(a, b):\n    return a + b\n```\n```python\n"
        "def add(a, b):\n    return f(a, b)\n```",
        "```python\ndef add(a, b):\n    return f(a, b)\n```\n```python\n"
        "def f(a, b):\n    return a + b\n```",
        "```python\nfrom operator import add as f\n```\n```python\n"
        "def add(a, b):\n    return f(a, b)\n```",
        "```python\nadd = lambda a, b: a + b\n```",
        "```python\nfrom operator import add\n```",
    ],
)
def test_the_program_is_what_defines_what_the_tests_name(text):
    assert made(text)(1, 2) == 3


@pytest.mark.parametrize(
    "text",
    [
        ADD,
        f"Sure! Here is the function:\n\n{ADD}\nThis function adds two numbers.\n",
        f"{ADD}\nIt works because a + b is the sum.",
        f"[BEGIN]\n{ADD}[DONE]",
        f"[PYTHON]\n{ADD}[/PYTHON]",
        f"<answer>{ADD}</answer>",
        f"Use `add`:\n\n{ADD}\n```\n3\n```",
    ],
)
def test_a_program_without_a_fence_is_found_among_prose(text):
    assert made(text)(1, 2) == 3


@pytest.mark.parametrize("prompt", [OPENED, chat("Add two numbers.", "```python\n")])
@pytest.mark.parametrize(
    "text",
    [
        f"{ADD}```",
        ADD,
        f"{ADD}```\nThis adds the two.",
        f"{ADD}```\nUsage:\n```python\nprint(add(1, 2))\n```",
        f"```python\n{ADD}```",
        f"Sure:\n```python\n{ADD}```",
    ],
)
def test_a_fence_that_the_prompt_opened_is_continued(prompt, text):
    assert made(text, prompt)(1, 2) == 3


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("Add.\n\n```python\ndef add(a, b):\n", "    return a + b\n```\nDone."),
        (chat("Add.", "So:\n```python\ndef add(a, b):"), "\n    return a + b\n```"),
        (chat("Add.", "def add(a, b):\n"), "    return a + b"),
        ("def add(a, b):\n", "    return a + b"),
        ("def add(a, b):\n    return", " a + b"),
    ],
)
def test_a_function_that_the_prompt_began_is_continued(prompt, text):
    assert made(text, prompt)(1, 2) == 3


@pytest.mark.parametrize(
    "prompt",
    [
        PROMPT,
        chat(PROMPT),
        chat(f"Complete:\n\n```python\n{PROMPT}```\n"),
        chat(f"Complete this function.\n\n{PROMPT}\n\nReturn the code alone."),
        chat([{"type": "text", "text": f"Complete:\n```python\n{PROMPT}```"}]),
    ],
)
@pytest.mark.parametrize(
    "text",
    [
        "    return sum(xs)\n",
        "return sum(xs)",
        "    t = 0\n    for x in xs:\n        t += same(x)\n    return t\n",
        "t = 0\n    for x in xs:\n        t += x\n    return t\n",
        "t = 0\nfor x in xs:\n    t += x\nreturn t\n",
        "```python\n    return sum(xs)\n```",
        "So:\n```python\nreturn sum(xs)\n```\nIt sums.",
        "    return sum(xs)\n\n\ndef other():\n    return 1\n",
        "    return sum(xs)\n\nThis sums them up.",
        "```python\ndef total(xs: List[int]) -> int:\n    return sum(map(same, xs))\n```",
        "def total(xs: List[int]) -> int:\n    return sum(map(same, xs))\n",
        "```python\nfrom __future__ import annotations\n"
        "def total(xs: List[int]) -> int:\n    return sum(map(same, xs))\n```",
        f"{PROMPT}    return sum(xs)\n",
    ],
)
def test_a_body_or_a_function_is_joined_to_the_prompts_code(prompt, text):
    assert made(text, prompt, "total")([1, 2]) == 3


def test_a_program_that_is_complete_gets_nothing_from_the_prompt():
    program = "from typing import List\n\ndef total(xs: List[int]) -> int:\n    return sum(xs)\n"
    assert found(f"```python\n{program}```", PROMPT, ("total",)).text == program


def test_a_solution_in_the_prompt_passes_for_no_response():
    prompt = chat("Review this:\n```python\ndef add(a, b):\n    return a + b\n```")
    assert "def add" not in found("```python\npass\n```", prompt).text
    assert found("I can't.", prompt).text is None


@pytest.mark.parametrize(
    "text", ["I can't do that.", "Sorry", "3", "```cpp\nint add();\n```", "```bash\nls\n```"]
)
def test_a_response_without_a_program_has_none(text):
    assert found(text, "x").text is None
    assert found(text, PROMPT, ("total",)).text is None


@pytest.mark.parametrize(
    ("text", "is_partial"),
    [
        ("```python\ndef add(a, b):\n    return (a +", True),
        ("def add(a, b):\n    c = a\n    return (c +", True),
        ("Let me think about", True),
        (f"```python\n{ADD}```\nThis", False),
        (f"```python\n{ADD}", False),
        (f"```python\n{ADD}```\nBetter:\n```python\ndef add(a, b):\n    c = (", False),
    ],
)
def test_a_program_is_cut_off_only_where_it_does_not_compile(text, is_partial):
    assert found(text, is_cut=True).is_partial is is_partial


@pytest.mark.parametrize(
    "text",
    [
        "```python\nprint(int(input()) + 1)\n```\nInput:\n```\n1\n```\nOutput:\n```\n2\n```",
        "```python\ndef solve():\n    print(int(input()) + 1)\n```\n```python\nsolve()\n```",
        "```python\ndef f(n):\n    return n + 1\n```\n```python\nprint(f(int(input())))\n```",
        "print(int(input()) + 1)",
        "Solution:\n\nprint(int(input()) + 1)\n\nThat is it.",
        "```python\nprint(int(input()) + 1)\n```\nTry it:\n```python\nimport io, sys\n"
        "sys.stdin = io.StringIO('5')\n```",
        "```\nprint(int(input()) + 1)\n```\n```\n2\n```",
    ],
)
def test_without_names_the_program_is_what_reads_an_input(text, monkeypatch, capsys):
    monkeypatch.setattr("builtins.input", lambda: "1")
    exec(found(text, names=()).text, {})
    assert capsys.readouterr().out == "2\n"


def test_methods_without_their_class_are_put_into_it():
    made_of = {}
    exec(found("```python\ndef f(self, x):\n    return x\n```", names=("f",)).text, made_of)
    assert made_of["Solution"]().f(1) == 1


def test_the_function_that_a_prompt_asks_for_is_named_only_where_it_is_one():
    assert asked_for(prompted(PROMPT, None), set()) == "total"
    starter = "class Solution:\n    def order(self, a):\n        "
    assert asked_for(prompted(None, starter), set()) == "order"
    both = chat("```python\ndef f(x):\n    ...\n```\n```python\ndef g(x):\n    ...\n```")
    assert asked_for(prompted(both, None), set()) is None
    assert asked_for(prompted(both, None), {"g"}) == "g"

"""Texts that break readers, and our scorers with columns and settings to try them on."""

import random

import pyarrow as pa
from random_columns import random_column, random_type

TEXTS = [
    "", " ", "42", "B", "the answer is 42", '{"a": 1}', "\x00", "a\x00b", "é\u202e\u0301" * 50,
    "9" * 5000, "-" * 10_000 + "1", "10**10**6", "1e999999999", "0." + "0" * 100_000 + "1",
    "1," * 50_000, "x" * 2**20, "\n" * 2**20, " " * 2**20 + "x", "a" * 40 + "!", "ab" * 100_000,
    "(" * 20_000, ")" * 20_000, "[" * 100_000, "{" * 100_000, '{"a":' * 20_000,
    "[" * 900 + "]" * 900, "`" * 50_000, "```" * 20_000, "```json\n{}\n```" * 2000,
    "<think>" * 20_000, "</think>" * 20_000, "\\boxed{" * 3000,
    "\\boxed{" * 3000 + "1" + "}" * 3000, "\\frac{" * 3000, "\\sqrt{" * 500 + "2",
    "\\boxed{10^{10^{10}}}", "\\boxed{2^{2^{2^{2^{2^{2}}}}}}", "\\boxed{9^{9^{9}}}",
    "\\boxed{(10^9)!}", "\\boxed{1/0}", "\\boxed{\\frac{1}{0}}", "\\boxed{\\int_0^1 x^x dx}",
    "\\boxed{x^{10^6}-1}", "\\boxed{\\sum_{n=1}^{10^9} n}", "\\begin{pmatrix}" * 500, "$" * 10_001,
    "\\" * 10_001, "\\def\\a{\\a\\a}\\a", "{\\ud800}", '{"a": "\\ud800"}', '{"a": 1e400}',
    '{"a": NaN}', '{"a": 1, "a": 2}', '"\\ud800"', "[" + "1," * 200_000 + "1]", "{}" * 50_000,
    "A" * 300, "A, B, C, D " * 5000, "answer: " * 20_000, "the answer is " * 20_000,
    "#### " * 20_000, "#### 9" + "9" * 5000, "<answer>" * 20_000 + "42", "1 2 " * 50_000,
    "=" * 50_000, "1=" * 20_000, "x=" * 20_000 + "1", "def f(x):\n    return x",
    "```python\nwhile True: pass\n```", "```python\nf = lambda x: x\n```",
    "```python\nimport os\nos._exit(0)\n```", "```python\nx = '" + "9" * 10**6 + "'\n```",
    "```python\n" + "(" * 5000 + "\n```", "```python\nf = lambda x: 10**10**8\n```",
    "```python\nf = lambda x: [0] * 10**12\n```", "```python\nprint('x' * 10**8)\nf = int\n```",
    "```python\ndef f(x): raise SystemExit\n```", "```python\ndef f(x): return f(x)\n```",
]  # fmt: skip
ANSWERS = [
    "42", "B", "1/2", "\\frac{1}{2}", "9" * 5000, "10^{10^{10}}", "", "x\x00", "{1, 2}", "(1, 2)",
]  # fmt: skip
PATTERNS = [
    "(a+)+$", "(.*)*x", "((a|aa)+)+b", r"(\d+)", "(?P<answer>.*)", "", "(",
    "(" * 3000 + ")" * 3000, "(x+x+)+y", r"\b(?:the )?answer(?: is)?:? *(.*)*$", "[", "(?i)b",
]  # fmt: skip
SCHEMAS = [
    '{"type": "object"}', '{"$ref": "#"}', '{"type": "string", "pattern": "(a+)+$"}', "{",
    '{"type": 5}', '{"$ref": "http://localhost/x"}', '{"pattern": "("}', '{"a":' * 2000,
    '{"$schema": 5}', '{"type": "array", "uniqueItems": true}',
    '{"anyOf": [{"$ref": "#"}, {"type": "object"}]}',
]  # fmt: skip
TESTS = [
    "assert f(1) == 1", "def check(candidate):\n    assert candidate(1) == 1", "(", "x = 1",
    "9" * 5000, "assert f(1) == " + "(" * 300, "while True: pass\nassert f(1)",
    '{"inputs": ["1"], "outputs": ["1"]}', "import os; os._exit(0); assert f(1)",
    "assert f(10**5000) == 10**5000", "\x00",
]  # fmt: skip


def texts(values: list[str]):
    return lambda rng, size: pa.array(rng.choices([*values, None], k=size), pa.string())


def anything(rng: random.Random, size: int) -> pa.Array:
    return random_column(rng, random_type(rng), size)


def hostile_scorer(rng: random.Random) -> tuple[list[str], dict]:
    """Return the words that choose a scorer, and a way to make the columns it reads."""
    name = rng.choice(["math", "exact", "choice", "regex", "json_schema", "code"])
    words = [f"scorer={name}", "workers=2", "estimate.resamples=20"]
    answers = {"answer": texts(ANSWERS) if rng.random() < 0.6 else anything}
    if name == "regex":
        return [*words, f"regex.pattern={rng.choice(PATTERNS)}"], answers
    if name == "json_schema":
        if rng.random() < 0.5:
            return [*words, f"json_schema.schema={rng.choice(SCHEMAS)}"], {}
        column = texts(SCHEMAS) if rng.random() < 0.7 else anything
        return [*words, "json_schema.schema_key=answer"], {"answer": column}
    if name == "code":
        column = texts(TESTS) if rng.random() < 0.7 else anything
        return [*words, "code.allow=true"], {"tests": column}
    if rng.random() < 0.3 and name != "choice":
        answers = {"answer": lambda rng, size: pa.array([rng.choices(ANSWERS, k=2)] * size)}
        words.append("answer_is=any")
    return words, answers

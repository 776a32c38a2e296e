"""Formulas of scorer=math: expressions, equations and inequalities, read by math-verify's grammar.

A formula is read in full or not at all. Letters keep their case, and `i` is the imaginary unit.
"""

import logging
import re
from fractions import Fraction
from functools import lru_cache
from typing import Any

FUNCTIONS = set(  # and constants
    "sin cos tan cot sec csc sinh cosh tanh arcsin arccos arctan asin acos atan log ln exp sqrt "
    "max min gcd lcm "
    "floor ceil det lim mod binom pi infty inf infinity theta alpha beta gamma".split()
)
_PLAIN_NAMES = re.compile(
    r"(?<![\\A-Za-z])(sinh?|cosh?|tanh?|cot|sec|csc|arcsin|arccos|arctan|log|ln|exp|pi|theta|alpha|beta|max|min"
    r"|gcd|lcm|infty|infinity|lambda|omega|phi|sigma)(?![A-Za-z])"
)
_PLAIN_ROOT = re.compile(
    r"(?<!\\)sqrt\s*(?:\(([^()]*(?:\([^()]*\)[^()]*)*)\)|\{([^{}]*)\}|(\d+|[a-z](?![a-z])))"
)
_COMMANDS = re.compile(r"\\[A-Za-z]+")
_RUN = re.compile(r"[A-Za-z]+")
_PROSE = re.compile(
    r"[A-Za-z]{2,} +[A-Za-z]{2,}|(?<![A-Za-z])"
    r"(?:is|are|was|the|The|of|to|in|we|We|it|It|so|So|as|at|be|by|an|An|on|or|if|If|no|No|for|get|has|can|not|and|but|per|you|sum|all|any)(?![A-Za-z])"
)
_ASIDE = re.compile(r"\d\s*\([A-Za-z]{3,}\)|\d\s+\([A-Za-z]{2,}\)|(?<![\\A-Za-z])[A-Za-z]{2,}\s+\d")
_WORDS = set("ok hmm mm vs ans eq yes no six ten one two thx max min mph rpm pts tbd nb ps".split())
MAX_DEPTH = 20  # of nested brackets: each level doubles the time that the grammar takes
MAX_BITS = 20_000  # of a number stored exactly
TOLERANCE = Fraction(1, 10**12)


def has_letters(latex: str) -> bool:
    """Whether a formula has variables or words."""
    left = re.sub(
        r"\\text\{[^{}]*\}|\\(?:frac|sqrt|times|cdot|pi|div|left|right|infty)(?![A-Za-z])",
        "",
        latex,
    )
    return bool(re.search(r"[A-Za-z]", left))


def latex_of(text: str) -> str | None:
    """Return a formula, also one in plain notation (2*sqrt(3)), as LaTeX; None if it has words."""
    text = re.sub(r"\\text\{\s*([A-Za-z])\s*\}", r"\1", text)
    if text.count("{") != text.count("}") or _depth(text) > MAX_DEPTH:
        return None
    if "'" in text or "\\text" in text or "..." in text or "\\ldots" in text or "\\cdots" in text:
        return None
    text = text.replace("**", "^").replace("–", "-")
    text = _PLAIN_ROOT.sub(lambda m: f"\\sqrt{{{m[1] or m[2] or m[3]}}}", text)
    text = _PLAIN_NAMES.sub(lambda m: "\\" + m[1].replace("infinity", "infty") + " ", text)
    text = re.sub(r"\^\s*\(([^()]*)\)", r"^{\1}", text)
    text = re.sub(r"\^\s*(-\d+|\d\d+)", r"^{\1}", text)
    text = re.sub(r"(?<=[\dA-Za-z)}])\s*\*\s*(?=[\dA-Za-z(\\-])", r" \\cdot ", text)
    text = re.sub(r"\^\{\\circ\}", "", text)
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
    text = re.sub(r"(?<![\d.])\.(?=\d)", "0.", text)
    bare = _COMMANDS.sub(
        " ", re.sub(r"_\{[^{}]*\}|\\(?:begin|end)\{[^{}]*\}(?:\{[^{}]*\})?", "", text)
    )
    if any(len(run) > 4 or (len(run) > 3 and run.islower()) for run in _RUN.findall(bare)):
        return None
    if any(_is_short_word(run) for run in _RUN.findall(bare)) or _ASIDE.search(text):
        return None
    if "$" in text or _PROSE.search(bare) or re.search(r"\d[eE][-+]?\d{4}", text):
        return None
    if re.search(r"(?<![_^\d.])[\d.]+ \d", text) or re.search(r"\d_\{?\d", text):
        return None  # 2 3 and 204_5 are not products
    return text


def _is_short_word(run: str) -> bool:
    """Whether adjacent letters are a word (ok, six, cat) rather than a product: xy, abc, bi."""
    word = run.lower()
    if len(run) < 2 or word in _WORDS:
        return len(run) > 1
    if run.isupper():
        return False  # AB, the segment
    word = word.strip("i")  # the imaginary unit
    return len(word) > 2 and bool(re.search("[aeiou]", word)) and word != "".join(sorted(word))


def _depth(text: str) -> int:
    depth = deepest = 0
    for char in text:
        depth += (char in "([{") - (char in ")]}")
        deepest = max(deepest, depth)
    return deepest


@lru_cache(maxsize=1)
def tools() -> Any:
    """Return math-verify's parser and comparison. They are imported at the first formula."""
    logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns that its timeouts are off
    from latex2sympy2_extended import NormalizationConfig, latex2sympy, normalize_latex
    from latex2sympy2_extended.latex2sympy2 import ConversionConfig
    from math_verify import verify

    how = NormalizationConfig(basic_latex=True, malformed_operators=True, boxed="none")
    cased = ConversionConfig(lowercase_symbols=False)

    def to_sympy(latex: str) -> Any:
        return latex2sympy(
            normalize_latex(latex, how),
            is_real=True,
            normalization_config=None,
            conversion_config=cased,
        )

    return to_sympy, verify


@lru_cache(maxsize=1024)
def parse(latex: str) -> Any:
    """Return the formula as a sympy object; None if math-verify's grammar can't read all of it."""
    import sympy

    to_sympy, _ = tools()
    try:
        found = to_sympy(latex)
        names = {
            s: sympy.I if s.name == "i" else sympy.Symbol(s.name, real=True)
            for s in found.free_symbols
        }
        names = {s: new for s, new in names.items() if s != new}
        return found.xreplace(names) if names else found
    except Exception:  # antlr and sympy raise many types for input that they can't read
        return None


def constant(value: Any) -> Any:
    """Return the value of an expression without variables, to 30 digits; None for others.

    It is a Fraction, a complex number, or sympy's Float for a huge or tiny number.
    """
    import sympy

    try:
        if not isinstance(value, sympy.Expr) or value.free_symbols or not is_cheap(value):
            return None
        near = sympy.N(value, 30)
        if near.is_real and near.is_finite:
            exact = sympy.Rational(near) if abs(near._mpf_[2]) < MAX_BITS else None
            return near if exact is None else Fraction(int(exact.p), int(exact.q))
        return complex(near) if near.is_finite else None
    except Exception:
        return None


def is_cheap(value: Any, limit: int = 10**9) -> bool:
    """Whether a constant is cheap to evaluate, unlike a tower of powers or a long sum."""
    import sympy

    if not all(is_cheap(arg, limit) for arg in getattr(value, "args", ())):
        return False
    if isinstance(value, sympy.Sum | sympy.Product):
        ends = [end for _, low, high in value.limits for end in (low, high)]
        return all(end.free_symbols or abs(sympy.N(end, 15)) < 1000 for end in ends)
    if isinstance(value, sympy.binomial):
        return all(n.free_symbols or abs(sympy.N(n, 15)) < 100_000 for n in value.args)
    if isinstance(value, sympy.Pow | sympy.factorial):
        size = value.exp if isinstance(value, sympy.Pow) else value.args[0]
        return bool(size.free_symbols or abs(sympy.N(size, 15)) < limit)
    return True

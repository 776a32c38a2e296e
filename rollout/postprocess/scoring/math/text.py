"""Normalize characters and notation for scorer=math.

`plain` rewrites typographic and Unicode mathematics in a whole text as ASCII and LaTeX. `tidy`
strips markup and delimiters from one answer. Both must not know what a number is.
"""

import re
import unicodedata

_SIGNS = {
    **dict.fromkeys("\u2212\u2010\u2011\u2012\ufe63\uff0d", "-"), "\u2044": "/", "\u2215": "/",
    "×": r"\times ", "✕": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "∙": r"\cdot ", "÷": "/",
    "≤": r"\le ", "⩽": r"\le ", "≥": r"\ge ", "⩾": r"\ge ", "≠": r"\ne ", "≈": r"\approx ",
    "≃": r"\approx ", "≅": r"\approx ", "∈": r"\in ", "∪": r"\cup ", "∩": r"\cap ",
    "∖": r"\setminus ", "∅": r"\emptyset ", "±": r"\pm ", "∓": r"\mp ", "∞": r"\infty ",
    "°": r"^{\circ}", "º": r"^{\circ}", "⟨": r"\langle ", "⟩": r"\rangle ", "〈": r"\langle ",
    "〉": r"\rangle ", "∑": r"\sum ", "∫": r"\int ", "…": "...", "∶": ":", "‚": ",", "٪": "%",
    "٫": ".", "٬": ",", "。": ".", "、": ",", "，": ",", "“": '"', "”": '"', "‘": "'", "’": "'",
    "ℝ": r"\mathbb{R}", "ℤ": r"\mathbb{Z}", "ℕ": r"\mathbb{N}", "ℚ": r"\mathbb{Q}",
    "ℂ": r"\mathbb{C}", "∧": r"\land ", "∨": r"\lor ", "⌊": r"\lfloor ", "⌋": r"\rfloor ",
    "⌈": r"\lceil ", "⌉": r"\rceil ", "∠": r"\angle ", "\u2028": "\n", "\u2029": "\n",
    **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff\u00ad\u200e\u200f\u2061\u2062\u2063", ""),
}  # fmt: skip
_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho "
    "sigma sigma tau upsilon phi chi psi omega Delta Gamma Theta Lambda Sigma Phi Psi Omega"
).split()
_SIGNS |= {
    c: f"\\{name} " for c, name in zip("αβγδεζηθικλμνξοπρσςτυφχψωΔΓΘΛΣΦΨΩ", _GREEK, strict=True)
}
_TABLE = str.maketrans(_SIGNS)
_RAISED, _LOWERED = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿⁱ", "₀₁₂₃₄₅₆₇₈₉₊₋₍₎"
_RAISED_RUN, _LOWERED_RUN = re.compile(f"[{_RAISED}]+"), re.compile(f"[{_LOWERED}]+")
_TO_RAISED = str.maketrans(_RAISED, "0123456789+-()ni")
_TO_LOWERED = str.maketrans(_LOWERED, "0123456789+-()")
_VULGAR = re.compile("(\\d?)([¼-¾⅐-⅞↉])")
_ROOT = re.compile(r"([√∛∜])\s*(\d+(?:\.\d+)?|[A-Za-z]|\\[a-z]+ ?|\([^()]*\)|\{[^{}]*\})")
_ROOTS = {"√": r"\sqrt", "∛": r"\sqrt[3]", "∜": r"\sqrt[4]"}
# An en dash is a minus sign if a number follows directly and no operand precedes it.
_EN_MINUS = re.compile(r"(?<![\w)\]}])–(?=[\d.\\($A-Za-z])")


def plain(text: str) -> str:
    """Return the text with full-width, Unicode and typographic mathematics as ASCII and LaTeX."""
    if text.isascii():
        return text
    text = _RAISED_RUN.sub(lambda m: f"^{{{m[0].translate(_TO_RAISED)}}}", text)
    text = _LOWERED_RUN.sub(lambda m: f"_{{{m[0].translate(_TO_LOWERED)}}}", text)
    text = _VULGAR.sub(_fraction, text).translate(_TABLE)
    text = "".join(map(_ascii, text)) if not text.isascii() else text
    return _EN_MINUS.sub("-", _ROOT.sub(_root, text))


def _fraction(found: re.Match[str]) -> str:
    whole, part = found.groups()
    numerator, _, denominator = unicodedata.normalize("NFKC", part).partition("\u2044")
    return f"{whole}{' ' if whole else ''}{numerator}/{denominator}"


def _root(found: re.Match[str]) -> str:
    inner = found[2].strip()
    inner = inner[1:-1] if inner[0] in "({" else inner
    return f"{_ROOTS[found[1]]}{{{inner}}}"


def _ascii(char: str) -> str:
    """Return a digit of any script, a full-width or a mathematical letter as ASCII."""
    if char < "\x7f":
        return char
    category = unicodedata.category(char)
    if category == "Nd":
        return str(unicodedata.decimal(char))
    if category == "Zs":
        return " "
    if "\uff01" <= char <= "\uff5e" or "\U0001d400" <= char <= "\U0001d7ff" or char in "￥￡ℯℎ":
        return unicodedata.normalize("NFKC", char).translate(_TABLE)
    return char


_DROPPED = re.compile(
    r"\\(?:left|right|m?left|m?right|bigl?|bigr?|Bigl?|Bigr?|biggl?|biggr?|displaystyle|textstyle"
    r"|limits|boldsymbol|mathstrut|rm|bf)(?![A-Za-z])\.?|\\!\s*|\\phantom\{[^{}]*\}"
)
_SPACES = re.compile(r"(?<!\\)\\[,;:> ~]|(?<!\\)~|\\q?quad(?![A-Za-z])|\\hspace\{[^{}]*\}|\s+")
_TEXTS = re.compile(r"\\(?:text(?:bf|it|rm|sf|tt|normal)|math(?:rm|bf|it|sf)|mbox|hbox)\s*(?=\{)")
_FRACTIONS = re.compile(r"\\[dtc]frac(?![A-Za-z])")
_OPERATOR = re.compile(r"\\operatorname\*?\s*\{([A-Za-z]+)\}")
_MARKUP = '*_`" \t\r\n'
_SYNONYMS = [
    (re.compile(p), to)
    for p, to in [
        (r"\\(?:le|leq|leqslant)(?![A-Za-z])", r"\\leq "),
        (r"\\(?:ge|geq|geqslant)(?![A-Za-z])", r"\\geq "),
        (r"\\(?:ne|neq)(?![A-Za-z])", r"\\neq "), (r"<=", r"\\leq "), (r">=", r"\\geq "),
        (r"!=", r"\\neq "), (r"\\lt(?![A-Za-z])", "<"), (r"\\gt(?![A-Za-z])", ">"),
        (r"\\(?:sim|simeq|thickapprox)(?![A-Za-z])|~=", r"\\approx "),
        (r"\\(?:varnothing|O)(?![A-Za-z])", r"\\emptyset "), (r"\\(?:lbrace)(?![A-Za-z])", r"\\{"),
        (r"\\(?:rbrace)(?![A-Za-z])", r"\\}"), (r"\\(?:lbrack)(?![A-Za-z])", "["),
        (r"\\(?:rbrack)(?![A-Za-z])", "]"), (r"\^\{?\s*\\(?:circ|degree)\s*\}?", r"^{\\circ}"),
        (r"\\degree(?![A-Za-z])", r"^{\\circ}"), (r"\s*\{\s*,\s*\}\s*", ","), (r"\{\s*:\s*\}", ":"),
    ]
]  # fmt: skip
_MATH_PAIR = re.compile(r"(?<!\\)\$((?:\\\$|[^$\n])+?)(?<!\\)\$(?!\d)")
_BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{")


def tidy(text: str) -> str:
    """Return an answer without markup, math delimiters, layout commands and final punctuation."""
    text = plain(text).replace("$$", " ").replace("\r", "")
    if not re.search(r"matrix|array|cases", text):
        text = re.sub(r"\\\\(?=[A-Za-z{}()\[\]])", r"\\", text)  # a backslash escaped twice
    text = re.sub(r"\\(?:begin|end)\{(?:equation|align|gather|aligned|center)\*?\}", " ", text)
    text = re.sub(r"(?<!\\)\\[()]|(?<!\\)\\[\[\]]", " ", text)
    if not re.fullmatch(r"\s*\$\s?[\d.,]+\s*", text):
        text = _MATH_PAIR.sub(r"\1 ", text)
    text = re.sub(r"(?<![\w)}])\*\*|\*\*(?![\w(])|(?<![\w*])__|__(?![\w*])", "", text)
    text = _DROPPED.sub("", text)
    text = _OPERATOR.sub(r"\\\1 ", _FRACTIONS.sub(r"\\frac", _TEXTS.sub(r"\\text", text)))
    text = _SPACES.sub(" ", text).replace(r"\$", "$").replace(r"\%", "%").replace(r"\#", "#")
    if not re.search(r"matrix|array|cases", text):
        text = re.sub(r"(?<!\\)&", "", text)
    text = re.sub(r"(?<=[\d)]) [xX] (?=[$\d(])", r" \\times ", text)
    text = re.sub(r"!!+[\s*_.]*$", "", text)
    for pattern, instead in _SYNONYMS:
        text = pattern.sub(instead, text)
    return peel(text)


def peel(text: str) -> str:
    """Strip what encloses a whole answer: quotes, markup, braces, a box, final punctuation."""
    while True:
        before = text
        text = text.strip(_MARKUP)
        text = text[1:-1] if len(text) > 1 and text[0] == text[-1] == "'" else text
        text = re.sub(r"(?<!\.)[.,;:?]$|\\\\$|(?<!\\)\\[,; ]$", "", text).strip()
        if _BOXED.match(text) and closing(text, text.index("{")) == len(text) - 1:
            text = text[text.index("{") + 1 : -1]
        elif text[:1] == "{" and closing(text, 0) == len(text) - 1:
            text = text[1:-1]
        if text == before:
            return text


def closing(text: str, start: int) -> int:
    """Return the position of the brace that closes the one at `start`; -1 if there is none."""
    depth, i = 0, start
    while i < len(text):
        char = text[i]
        if char == "\\":
            i += 2
            continue
        depth += (char == "{") - (char == "}")
        if depth == 0:
            return i
        i += 1
    return -1

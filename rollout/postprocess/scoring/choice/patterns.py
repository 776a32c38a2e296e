"""Patterns for the phrases with which a text names one of several letters.

Owns the words; letters.py decides which mention counts. Every repetition is bounded, so matching
takes time proportional to the length of the text.
"""

import re
import unicodedata

_BRACKETS = str.maketrans("【】〔〕「」『』“”„«»’‘", "()()()()" + '"' * 5 + "''")
_WRAPPED = re.compile(
    r"\\(?:text(?:bf|rm|it|sf|tt)?|math(?:rm|bf|sf|it|tt|cal)|boldsymbol|bm|bf|rm|emph|underline|"
    r"mbox|operatorname)\s*\{([^{}]*)\}"
)
_SPACING = re.compile(
    r"\\[()\[\],;:! ]|\\(?:left|right|quad|qquad|large|Large|displaystyle)(?![A-Za-z])|"
    r"[$~\u200b\ufeff]"
)
_HTML = re.compile(r"</?(b|strong|i|em|u|p|span|code|mark|h\d)>", re.IGNORECASE)
_BULLET = re.compile(r"^[ \t]*(?:[-+•>#▪◦–][ \t#>]*[ \t])+", re.MULTILINE)
_SET_APART = re.compile(r"(?<!\w)(\*{1,3}|_{1,3}|`|\"|')\s?\(?([A-Za-z0-9])[.):]?\)?\s?\1(?!\w)")

NOUN = (
    r"(?:\b(?:answers?|ans\.?|choice|option|(?:(?<=correct )|(?<=right ))(?:options|choices)|"
    r"solution|response|selection|pick|guess|vote|verdict|"
    r"antwort|lösung|respuesta|réponse|resposta|risposta|ответ)\b|答案|正解|答え|정답)"
)
GAP = r"(?:\s+(?!(?:choices|options|is|are|was|not|but|(?-i:[A-Z]))\b)[^\s.!?:;,()=]{1,30}){0,8}?"
IS = (
    r"(?:\s*(?:[:=→]|->|=>|—|–|是|为|は)\s*|'s\s+|\s+-\s+|\s+(?:is|are|(?:would|should|must|will|"
    r"could only|can only|ought to|seems to|appears to|has to|have to|must \w{1,12}) be|"
    r"ist|es|est|é|è)\b\s*:?\s*)"
)
ADVERBS = (
    r"(?:(?:therefore|thus|then|hence|clearly|probably|likely|most likely|definitely|certainly|"
    r"indeed|actually|simply|just|only|obviously|surely|in fact|still|now|again|clearly|"
    r"(?:the )?(?:correct |right |best )?(?:letter|options?|choices?|answer|statement|number)|"
    r"both|either)[\s,:]+){0,4}"
)
BE = (
    r"(?:is|are|seems|appears|looks|remains|(?:would|must|should|has to|have to|seems to|"
    r"appears to|will) be)"
)
MOST = (
    r"(?:(?:correct|right|best|proper|true|final|closest|strongest|single|only|better|one|"
    r"most(?! (?:tempting|common|frequent|popular)) \w{1,20})\s+)"
)
# The text before and after a letter alone: "vitamin C" chooses nothing.
BEFORE = (
    r"(?:^[\s(]*|(?:[.!?:;,>—–]|(?<!\w)\()\s*|\b(?:is|be|are|options?|choices?|answers?|letter|statement|so|"
    r"thus|hence|therefore|think|say|guess|believe|conclude|that|with|it's|that's|probably|"
    r"likely|maybe|perhaps|definitely|clearly|obviously|only|pick|choose|select|both|either|and|"
    r"or|but|then|suggests?|makes?|making|means|leaves|leaving|yes|ok|okay|not|than|unlike|"
    r"neither|nor|out|eliminates?|excludes?|rejects?|because|since|while|whereas|although|"
    r"though|between|from|like)\s+)"
)
AFTER = (
    r"(?=\s*(?:$|[.!?,;:)—–]|-\s|\b(?:is|was|are|because|since|as|it|would|will|must|should|can|"
    r"cannot|can't|isn't|fits?|seems|looks|works?|matches|makes|has|does|doesn't|fails?|too|and|"
    r"or|but|not|rather|instead|over|here|then|only|being|remains?|while|whereas|unlike|so|for|"
    r"describes?|states?|says|to)\b))"
)
TURN = re.compile(
    r"\b(?:wait|actually|correction|on second thoughts?|on reflection|scratch that|sorry|"
    r"my mistake|i made an? (?:\w{1,12} )?(?:mistake|error)|i was wrong|that(?:'s| is) wrong|"
    r"hold on|hmm+|let me (?:re\w+|correct|double[- ]check|check)|oops|i take that back|"
    r"i misread)\b|(?:^|[.!?—–-]\s*|\bwait,?\s+)no[,:.!—–-]",
    re.IGNORECASE | re.MULTILINE,
)
HEAD, TAIL = 2_000, 20_000  # characters read of a long text


def plain(text: str) -> str:
    """Return the text without LaTeX, Markdown, HTML and full-width forms around letters.

    Of a long text, only the start and the end are kept, because answers are there.
    """
    text = unicodedata.normalize("NFKC", text).translate(_BRACKETS)
    text = re.sub(r"[^\S\n]+", " ", text)
    text = re.sub(r"\n[\n ]+", "\n\n", text)
    if len(text) > HEAD + TAIL:
        text = text[:HEAD] + "\n\n" + text[-TAIL:]
    text = re.sub(r"<br\s*/?>", "\n", _HTML.sub("**", text), flags=re.IGNORECASE)
    for _ in range(4):  # \boxed{\mathbf{\text{B}}}
        text = _WRAPPED.sub(r" \1 ", text)
    text = _SPACING.sub(" ", text)
    text = _SET_APART.sub(r"(\2) ", text)
    text = re.sub(r"\*+|`+|(?<!\w)_+|_+(?!\w)", "", text)
    return re.sub(r"[ \t]+", " ", _BULLET.sub("", text))


class Phrases:
    """The patterns for one set of labels. Group `x` of a match holds the named letters."""

    def __init__(self, labels: str):
        letters = "".join(label for label in labels if label.isalpha())
        digits = "".join(label for label in labels if label.isdigit())
        self.is_digit_only = not letters
        any_label = f"[{labels}{letters.lower()}]"
        # "A dog" and "I think" do not choose; "A is right" and "A because" do.
        word = (
            r"(?!(?<=[AI]) +(?!(?:is|was|because|since|as|and|or|but|would|fits|it|which|not|"
            r"rather|over|with|the|in|for|so|seems|must|should|has|by|are|to)\b)[A-Za-z])"
            r"(?!\s(?:cells?|lymphocytes?|major|minor|sharp|flat)\b)"
        )
        no_sign = r"(?!\s*[=+*<>≤≥×÷^]|\s*[/⁄-]\s*\d|\.\d|,\d|-[A-Za-z]|\.[a-z]|\.[A-Z]\b)"
        kinds = []  # of a label without brackets
        if letters:
            kinds += [
                rf"(?<![A-Za-z0-9'\\°_^-])(?<![A-Za-z]\.)[{letters}](?![A-Za-z0-9'_{{#%]|\+\+)"
                rf"{no_sign}{word}"
            ]
        if digits:
            kinds += [rf"(?<![\w.,$€£+-])[{digits}](?![\w%°]){no_sign}{AFTER}"]
        held = rf"(?-i:(?<![A-Za-z0-9)])[(\[{{]\s*{any_label}\s*[)\]}}](?!\s*[=+*<>^]))"
        firm = rf"(?:{held}|(?-i:{'|'.join(kinds)}))"
        small = (
            rf"(?-i:(?<![\w'\\])[{letters.lower()}](?=\s*$|[.,;!]\s*$|[.)]\s+\S|\)))"
            if letters
            else "(?!)"
        )
        loose = rf"(?:{firm}|{small})"  # "b" counts where an answer is expected
        run = rf"(?-i:(?<![\w'])[{letters}]{{2,9}}(?=[\s.)]*$))" if letters else "(?!)"
        joint = (
            r"(?:\)?\s*(?:,|;|/|&|、|和|或|\b(?:and|or|as well as)\b)\s*){1,3}"
            r"(?:(?:also|maybe|possibly|both|options?|choices?|the)\s+){0,2}"
        )
        lone = r"(?!\s*(?:is|was|isn't|has|does|doesn't|can|cannot|can't|would|seems|fails?)\b)"
        many = rf"(?P<x>{firm}(?:{joint}{firm}{lone}){{0,9}})(?!{joint}{firm}{lone})"
        some = rf"(?P<x>{run}|{loose}(?:{joint}{loose}{lone}){{0,9}})(?!{joint}{firm}{lone})"
        held_many = rf"(?P<x>{held}(?:{joint}{held}{lone}){{0,9}})"
        not_but = rf"(?:not\s+(?:option\s+)?{firm}\s*,?\s*(?:but|it's|rather|instead)\s+)?"
        named = r"(?:(?:the )?(?:final |correct )?(?:options?|choices?|answers?|letter)\s+)?\"?"
        start = rf"(?:{BEFORE}|(?=[(\[{{])){named}"
        ended = r"(?=\s*(?:$|[.!]))"
        subject = (
            r"(?:\b(?:i|we)(?:'d|'ll|'m| would| will| am| shall| have to| must| should)?|\blet's|"
            r"\blet us|\b(?:so|therefore|thus|hence)|^|[.!:,])\s*(?:(?:i|we|then|will|would|"
            r"therefore|thus|finally|confidently)\s+){0,2}"
        )
        verb = (
            r"(?:choos(?:e|ing)|pick(?:ing)?|select(?:ing)?|go(?:ing)? (?:with|for)|opt(?:ing)? "
            r"for|settl(?:e|ing) on|vote for|answer with|mark)\s+"
        )
        between = (
            r"[.):,]?(?:\s+(?!is\b|are\b|was\b|not\b|but\b|because\b|while\b|(?-i:[A-Z])\b)"
            r"[^\s.!?;:]{1,30}){0,8}?"
        )
        the_best = (
            rf"(?:{BE}\s+{ADVERBS}(?:the|my|our|your)\s+{MOST}{{0,3}}(?:answer|choice|option|one|"
            rf"pick|statement|match|fit|response|solution|selection)\b|{BE}\s+{ADVERBS}(?:the\s+)?"
            r"(?:best|most (?!tempting|common)\w{1,20}|(?<=the )(?:correct|right)(?: one)?)"
            r"(?=\s*(?:$|[.,;:!—–]|\b(?:because|since|as|here|among|of|for|given)\b))|"
            r"(?:fits?|matches|works|describes \w{1,20}|answers \w{1,20})"
            r"(?: (?:the|this) \w{1,20})? best\b|makes the most sense)"
        )
        turned = (
            rf"(?:{TURN.pattern})[\s,:.!—–-]*(?:(?:no|wait|actually|sorry|it's|it is|that's|"
            r"it should be|should be|i mean|i meant|make that|make it|so|option)[\s,:.!—–-]+){0,4}"
        )
        self.stated = _compiled(
            rf"{NOUN}{GAP}{IS}{ADVERBS}{not_but}{named}{some}",
            rf"^(?:(?:the|my|final|correct|best|right) ){{0,3}}(?:answer|choice) ?\n+\s*{some}"
            r"(?=\s*$|[).:])",
            rf"\b(?:final|correct|my|right|best) (?:answer|choice|option) {some}{ended}",
            rf"{start}{many}{between}\s+{the_best}",
            rf"{subject}{verb}{named}{some}",
            rf"^A: {some}(?=[\s.)]*$)",
            rf"(?:(?<!不)选择?|应选|故选)\s*:?\s*{some}",
            rf"{turned}{named}{many}{ended}",
        )
        it = (
            r"\b(?:which|that|this|it)(?:'s|\s+(?:is|must be|has to be|would be|corresponds to|"
            r"matches|means|gives|leaves|points to|leads to|agrees with))\s+"
        )
        self.concluded = _compiled(
            rf"{it}{ADVERBS}{named}{many}{AFTER}",
            r"\b(?:correspond(?:s|ing) to|matches|matching|leaves(?: us with)?|leaving|left with)"
            rf"\s+{ADVERBS}{named}{many}{AFTER}",
            r"\b(?:so|thus|therefore|hence|consequently|finally|in short|overall|yes)[,:]?\s+"
            rf"(?:it must be|must be|we get|we have|only)?\s*{named}{many}{ended}",
            r"\b(?:i|we)(?:'d)? (?:think|believe|guess|say|would say)(?: that)? (?:it's |it is )?"
            rf"{ADVERBS}{named}{many}{AFTER}",
            rf"{NOUN}{IS}[^.!?\n()]{{1,80}}{held_many}{ended}",
            rf"{NOUN}{IS}[^.!?\n()]{{1,80}},\s*(?:option|choice) {many}{ended}",
            rf"\bonly\s+{named}{many}\s+(?!is\s+(?:partly|half))",
        )
        true = r"(?:correct|right(?! (?:after|before|next|of|to)\b)|true|valid|accurate)\b"
        self.correct = _compiled(
            rf"{start}{many}\s+{BE} (?:to be )?{ADVERBS}{true}",
            rf"{start}{many}\s+(?:fits?|works?|matches|satisfies|holds)\b",
            rf"{start}{many}\s*[.:)—–-]+\s*(?:(?:this is|that's) )?(?:correct|true)\b",
            rf"{start}{many}[^\n]{{0,80}}[✓✔✅]",
        )
        opens = r"(?=\s*(?:[.):,;!—–]|$|-\s)|\s+(?:because|since|as)\b)"
        self.opening = _compiled(
            rf"\A[\s\"']*{named}{some}(?!(?<=I),){opens}",
            rf"\A[\s\"']*{named}{held_many}(?=\s+(?!is\b|was\b|does\b|and\b|or\b))",
        )
        self.own_line = _compiled(rf"^[\s\"'∴→⇒]*{named}{some}[\s.):,!\"']*$")
        self.held = _compiled(held_many)
        self.alone = _compiled(rf"{start}{many}(?!(?<=I),){AFTER}")
        self.whole = _compiled(
            rf"\A[\s\"':]*(?:(?:answer|final answer)(?: is)?[\s:]+)?{named}{some}"
            r"(?=\s*\Z|\s*[.):,;—–]|\s+[^\s=+*/<>-]|\s+-\s)"
        )
        self.label_line = re.compile(
            rf"^ ?(?:(?:option|choice|answer|statement) )?\(?({any_label})"
            r"(?:\)?\s*[.):—–-]|\)|\s*$)",
            re.MULTILINE | re.IGNORECASE,
        )


def _compiled(*patterns: str) -> list[re.Pattern[str]]:
    return [re.compile(pattern, re.MULTILINE | re.IGNORECASE) for pattern in patterns]

"""Detect names and texts that look like secrets, and star them.

Finds a password in a URL, a token by its form, a header's value and a private key
anywhere in a text, and to leave prose and common terms (max_tokens, tokenizer, eos_token, authors)
alone. Must not know about settings, files or the terminal.
"""

import re
from collections.abc import Iterator
from typing import Any

STARS = "***"
TEXT_STARS = "*** (a secret)"  # for a whole setting, whose own text may be ***

# Last words of a name. A number under such a name is not a secret: min_tokens.
_LAST = re.compile(
    r"(^|_)(tokens?|(api_?)?keys?|signature|sig|jwt|bearer|cookies?|pass|pwd|pin|creds?)\d*$"
)
# Words anywhere in a name. A number under such a name is a secret, too.
_ANYWHERE = re.compile(
    r"(^|_)(auth|oauth2?|authorization|passw(or)?ds?|passwd|passphrase|secrets?|credentials?|apikey)"
    r"\d*(_|$)"
)
_OF_THE_FIELD = re.compile(
    r"(^|_)(bos|eos|pad|unk|sep|cls|mask|stop|begin|start|end|special|image|video|audio|tool|call"
    r"|think|thinking|reasoning|added|allowed|bad|banned|max|min|num|n|newline|turn|prompt|response"
    r"|output|input|cached|batched)_tokens?$"
)
_FREE_FORM = r"(?:extra|chat_template_kwargs|task_config|shape|env_set)\.[\w.-]+"
_STRONG_NAMES = (
    r"(?:proxy-)?authorization|x-api-key|x-auth-token|api[_-]?key|access[_-]?token|auth[_-]?token"
    r"|client[_-]?secret|secret[_-]?(?:access[_-]?)?key"
)
# The group `secret` of each is the secret itself.
_PATTERNS = [
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?P<secret>.*?)(?:-----END|\Z)",
        r"(?i:\b[a-z][a-z0-9+.-]*)://(?P<secret>[^\s/?#'\"@:]*:[^\s/?#'\"]*)@",
        r"(?i:\bhttps?)://(?P<secret>[^\s/?#'\"@]+)@",
        r"(?<![A-Za-z0-9])(?P<secret>(?:hf_|ghp_|gho_|ghs_|github_pat_|glpat-|xox[abp]-|AKIA|AIza"
        r"|npm_|pypi-|(?=sk-[A-Za-z_-]*\d)sk-)[A-Za-z0-9_-]{12,})",
        r"\b(?P<secret>eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?)",
        r"(?i:\b(?:proxy-)?authorization['\"]?\s*[:=]\s*['\"]?(?:bearer|basic|token|digest)\s+)"
        r"(?P<secret>[^\s'\",;}\]]+)",
        r"\b[Bb]earer\s+(?P<secret>(?=[^\s'\",;]*[\d._~+/=-])[A-Za-z0-9._~+/=-]{6,})",
        rf"(?i:(?<![\w-])(?:{_STRONG_NAMES})['\"]?\s*[:=]\s*['\"]?)"
        r"(?P<secret>(?!(?i:bearer|basic|token|digest)\s)[^\s'\",;&}\]]{6,})",
    )
]
_PARAMETER = re.compile(r"(?<=[?&;#])([\w.-]+)=([^&\s#'\"]+)")
_TYPED = re.compile(rf"(\b{_FREE_FORM})=(?!\.\.\.|\*\*\*)('[^']*'|\"[^\"]*\"|[^\s;'\"]+)")
_known: set[str] = set()  # secrets given to this process, which libraries may repeat
MIN_CHARS = 8  # of those: a shorter one may be part of other words
MAX_LETTERS = 12  # a secret of letters alone must be longer: `disabled` is an ordinary word


def is_secret_name(name: str, holds_text: bool = True) -> bool:
    """Whether `name` is the name of a secret: api_key, X-Auth-Token, clientSecret."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    snake = re.sub(r"\W", "_", snake.lower()).strip("_")
    if _OF_THE_FIELD.search(snake):
        return False
    return bool(_ANYWHERE.search(snake) or (holds_text and _LAST.search(snake)))


def without_secrets(text: str) -> str:
    """Return the text with its secrets starred, and all texts given to `remember`."""
    if not isinstance(text, str):
        return text
    for secret in sorted(_known, key=len, reverse=True):
        text = text.replace(secret, STARS)
    for pattern in _PATTERNS:
        text = pattern.sub(_starred, text)
    text = _PARAMETER.sub(lambda m: f"{m[1]}={STARS}" if is_secret_name(m[1]) else m[0], text)
    return _TYPED.sub(
        lambda m: f"{m[1]}={STARS}" if any(map(is_secret_name, m[1].split(".")[1:])) else m[0], text
    )


def _starred(found: re.Match[str]) -> str:
    begin, end = (at - found.start() for at in found.span("secret"))
    return found[0][:begin] + STARS + found[0][end:]


def has_secret(text: str) -> bool:
    return without_secrets(text) != text


def secrets_in(value: Any, by_name: bool = True) -> Iterator[tuple[Any, ...]]:
    """Yield the paths to secrets in nested plain values: names and positions, outermost first."""
    if isinstance(value, dict):
        for name, member in value.items():
            if by_name and is_secret_member(value, name):
                yield (name,)
            else:
                yield from ((name, *rest) for rest in secrets_in(member, by_name))
    elif isinstance(value, list | tuple):
        for i, member in enumerate(value):
            before = value[i - 1] if i else None
            is_flags = isinstance(before, str) and re.fullmatch(r"--?[A-Za-z][\w-]*", before)
            if by_name and is_flags and isinstance(member, str) and is_secret_name(before):
                yield (i,)
            else:
                yield from ((i, *rest) for rest in secrets_in(member, by_name))
    elif isinstance(value, str) and has_secret(value):
        yield ()


def is_secret_member(members: dict[Any, Any], name: Any) -> bool:
    """Whether a member is a secret by its name, or by a sibling `name` or `key`."""
    value = members[name]
    if name in ("value", "val"):
        beside = members.get("name", members.get("key"))
        if isinstance(beside, str) and is_secret_name(beside) and holds_text(value):
            return True
    is_set = not (value is None or isinstance(value, bool) or value in ("", [], {}))
    return is_set and is_secret_name(str(name), holds_text(value))


def holds_text(value: Any) -> bool:
    """Whether a value holds any text. Numbers are not secrets: min_tokens."""
    if isinstance(value, dict):
        return any(map(holds_text, value.values()))
    if isinstance(value, list | tuple):
        return any(map(holds_text, value))
    return isinstance(value, str)


def remember(value: Any, by_name: bool = True) -> None:
    """Star whatever looks like a secret in `value` in all later texts."""
    for place in secrets_in(value, by_name):
        found = value
        for step in place:
            found = found[step]
        remember_whole(found)


def remember_whole(value: Any) -> None:
    """Star every text in `value` in all later texts."""
    _known.update(
        text
        for text in _texts(value)
        if len(text) >= MIN_CHARS and not (text.isalpha() and len(text) <= MAX_LETTERS)
    )


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list | tuple):
        for member in value.values() if isinstance(value, dict) else value:
            yield from _texts(member)
    elif isinstance(value, str) and value.strip("*"):
        yield value

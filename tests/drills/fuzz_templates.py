"""Fuzz Jinja templates, harmless and hostile, over rows and over chats.

Expected: a harmless one gives what plain Jinja gives. A hostile one ends within the limits of time
and memory, as an error of its row or as one line that refuses the template. The limits here are
shorter than the real ones.
"""

import json
import random
import resource
import time
from pathlib import Path
from typing import Any

from fuzz import Outcome
from jinja2 import Environment, StrictUndefined

from rollout.errors import UserError
from rollout.inputs.row_template import open_condition, open_template
from rollout.plan.prompts.chat_template import rendered
from rollout.system import time_limit

LIMIT_S = 0.4
SLACK_S = 5.0  # other load on the machine, and one step in C
MOST_MIB = 6 << 10
ROW = {
    "s": "a b\nc <é> 'q'", "t": "", "n": 7, "f": 0.5, "b": True, "l": ["x", "y", "z"],
    "d": {"k": "v", "m": [1, 2]}, "w": "word " * 30,
}  # fmt: skip
TEXTS = ("s", "t", "w", "'lit'", "d.k", "l[0]", "l | join(', ')", "n | string", "s ~ t ~ n")
NUMBERS = ("n", "f", "3", "l | length", "n * 2", "2 ** n", "n % 4", "-n", "d.m | sum")
FILTERS = (
    "upper", "lower", "title", "capitalize", "trim", "replace('a', 'bb')", "center(20)",
    "indent(2)", "indent(width='> ', first=true)", "wordwrap(10)", "truncate(8)", "length",
    "first", "last", "list | length", "reverse", "default('x')", "wordcount", "e",
)  # fmt: skip
CALLS = (
    "split() | length", "strip()", "replace('a', 'xyz')", "center(11, '*')", "zfill(12)",
    "upper()", "ljust(9)", "join(l)", "count('a')", "startswith('a')", "expandtabs(4)",
)  # fmt: skip
FORMATS = (
    "'%s and %5d' % (s, n)", "'%.2f' % f", "'{} {:>5}'.format(s, n)", "'{0}{x}'.format(n, x=s)",
    "'%s-%s' | format(s, n)", "'ab' * n", "n * 'ab'", "[1, 2, 3] | map('string') | join('+')",
    "l | batch(2) | map('join', '') | join('|')", "l | sort | join", "d.items() | list | length",
    "range(5) | join(',')", "f | round(1)", "s | tojson", "d | tojson(indent=2)", "l | tojson",
)  # fmt: skip
HUGE = ("10**9", "10**12", "10**10", "99999999", "n ** 40", "2**62")
SLOW = "{% for i in range(99999) %}{% for j in range(99999) %}%BODY{% endfor %}{% endfor %}"
SET = "{% set x = namespace("
ONE_STEP = (  # in C, which no timer interrupts
    "{{ 'a' * %H }}", "{{ %H * s }}", "{{ [s] * %H }}", "{{ n ** %H }}", "{{ 10 ** (10 ** 10) }}",
    "{{ s | center(%H) }}", "{{ s.center(%H) }}", "{{ s.ljust(%H, '-') }}", "{{ s.zfill(%H) }}",
    "{{ s | indent(%H) }}", "{{ '%' ~ (%H) ~ 'd' }}{{ ('%' ~ (%H) ~ 'd') % 5 }}",
    "{{ '%*d' % (%H, 5) }}", "{{ '{:>{}}'.format(s, %H) }}", "{{ '{:>{w}}'.format(s, w=%H) }}",
    "{{ ('%' ~ (%H) ~ 's') | format(s) }}", "{{ 5 | round(-(%H)) }}", "{{ s | tojson(indent=%H) }}",
    "{{ l | batch(%H, 'x') | list }}", "{{ l | slice(%H, 'x') | list }}",
    "{{ ('a' * 9999999).replace('a', 'b' * 9999999) }}", "{{ ('\\t' * 99999).expandtabs(99999) }}",
    "{{ ('b' * 999999).join('a' * 999999) }}", "{{ range(99999) | join('b' * 999999) }}",
    "{{ ([l] * 99999) | sum(start=[]) }}", "{{ range(%H) | list }}",
    "{{ (5).to_bytes(%H, 'big') }}",
    "{{ ('%s' * 99999) % (('a' * 9999999,) * 99999) }}",
    "{{ '{0}{0}{0}{0}' | replace('{0}', 'x' * 20000000) }}",
    "{{ ('a ' * 99999) | wordwrap(1, true, 'b' * 999999) }}", "{{ lipsum(%H) }}",
)  # fmt: skip
MANY_STEPS = (
    SLOW.replace("%BODY", ""), SLOW.replace("%BODY", "{{ s }}"),
    SLOW.replace("%BODY", "{% set x = i * j %}"),
    "{% macro m(k) %}{{ m(k + 1) }}{% endmacro %}{{ m(0) }}",
    "{% macro m(k) %}{% if k %}{{ m(k - 1) }}{{ m(k - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
    "{% for i in range(99999) recursive %}{{ loop(range(99999)) }}{% endfor %}",
    SET + "a=s) %}{% for i in range(99) %}{% set x.a = x.a ~ x.a %}{% endfor %}{{ x.a }}",
    SET + "a=s) %}{% for i in range(99) %}{% set x.a = x.a + x.a %}{% endfor %}",
    SET + "a=l) %}{% for i in range(99) %}{% set x.a = x.a + x.a %}{% endfor %}",
    SET + "a=l) %}{% for i in range(99) %}{% set x.a = [x.a, x.a] %}{% endfor %}{{ x.a | tojson }}",
    SET + "a=n) %}{% for i in range(99999) %}{% set x.a = x.a * x.a %}{% endfor %}",
    "{% for i in range(99999) %}{{ w * 999 }}{% endfor %}",
    "{% set x %}{% for i in range(99999) %}{{ w * 99 }}{% endfor %}{% endset %}{{ x | length }}",
    "{% for i in range(99999) %}{% set x = (w * 999) | urlize %}{% endfor %}",
    "{% for i in range(99999) %}{% set x = range(99999) | sort(reverse=true) %}{% endfor %}",
)  # fmt: skip
REFUSED = (
    "{% for i in l %}" * 30 + "{% endfor %}" * 30, "{{ " + "(" * 9999 + "n" + ")" * 9999 + " }}",
    "{{ " + "[" * 3000 + "n" + "]" * 3000 + " | length }}", "{{ " + "- " * 5000 + "n }}",
    "{{ n" + " + n" * 5000 + " }}", "{% if n %}" * 400 + "{% endif %}" * 400,
    "{{ n", "{% nonsense %}",
    "{{ n | nosuch }}",
)  # fmt: skip


def case(rng: random.Random, directory: Path) -> Outcome:
    time_limit.LIMIT_S = LIMIT_S
    try:
        return rng.choice([_nice, _nice, _nasty, _nasty, _refused])(rng)
    finally:
        time_limit.LIMIT_S = 10.0


def _expression(rng: random.Random) -> str:
    kind = rng.randrange(6)
    if kind == 0:
        return rng.choice(NUMBERS)
    if kind == 1:
        return rng.choice(FORMATS)
    if kind == 2:
        return f"({rng.choice(TEXTS)}).{rng.choice(CALLS)}"
    if kind == 3:
        return f"({_expression(rng)}) if {rng.choice(['n > 3', 't', 'b', 'l'])} else 'no'"
    text = f"({rng.choice(TEXTS)})"
    return text + "".join(f" | {f}" for f in rng.sample(FILTERS[:10], rng.randint(0, 3)))


def _template(rng: random.Random, depth: int = 0) -> str:
    found = []
    for _ in range(rng.randint(1, 4)):
        kind = rng.randrange(6) if depth < 3 else 0
        inner = _template(rng, depth + 1) if kind > 2 else ""
        found.append(
            {
                3: "{% for i in range(n) %}{{ loop.index }}" + inner + "{% endfor %}",
                4: "{% if " + rng.choice(NUMBERS) + " %}" + inner + "{% else %}-{% endif %}",
                5: "{% set v %}" + inner + "{% endset %}{{ v | trim }}",
            }.get(kind, rng.choice(["", " text ", "\n"]) + "{{ " + _expression(rng) + " }}")
        )
    return "".join(found)


def _nice(rng: random.Random) -> Outcome:
    """Return what plain Jinja renders; where Jinja fails, we must fail too."""
    source = _template(rng) + "{{ n }}"
    plain = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    plain.filters["tojson"] = lambda v, indent=None: json.dumps(
        v, ensure_ascii=False, indent=indent
    )
    wanted, asked = _tried(lambda: plain.from_string(source).render(ROW)), []
    asked.append(_tried(lambda: open_template(source).render(ROW)))
    asked.append(_tried(lambda: rendered(source, ROW)))
    expression = rng.choice(NUMBERS) + rng.choice([" > 3", " == 7", " and 'a' in s", ""])
    holds = open_condition(expression, "filter").holds(ROW)
    if holds != bool(plain.compile_expression(expression)(**ROW)):
        return Outcome("nice", f"{expression!r} is {holds}")
    for found in asked:
        if found != wanted:
            return Outcome("nice", f"{source!r} made {found!r:.300}, wanted {wanted!r:.300}")
    return Outcome("nice" if wanted is not None else "failing")


def _tried(work: Any) -> str | None:
    try:
        return work()
    except Exception:
        return None


def _nasty(rng: random.Random) -> Outcome:
    source = rng.choice([rng.choice(ONE_STEP), rng.choice(MANY_STEPS)])
    source = source.replace("%H", rng.choice(HUGE))
    if rng.random() < 0.3:  # inside something harmless
        source = "{% if n %}" + _template(rng, 2) + source + "{% endif %}"
    began = time.monotonic()
    way = rng.choice(["row", "chat", "filter"])
    inner = source.partition("{{")[2].rpartition("}}")[0]
    if way == "filter" and ("{" in inner or not inner or source.count("{{") > 1):
        way = "row"
    try:
        if way == "row":
            open_template(source + "{{ n }}").render(ROW)
        elif way == "chat":
            rendered(source + "{{ n }}", ROW)
        else:
            open_condition(inner, "filter").holds(ROW)
        said = "it ended well"
    except Exception as error:
        said = str(error)
        if way != "chat" and not isinstance(error, ValueError | UserError):
            return Outcome("nasty", f"{source!r:.300} raised {error!r:.300}")
        if way != "chat" and "\n" in said:
            return Outcome("nasty", f"{source!r:.300} said more than a line: {said!r:.300}")
    took_s = time.monotonic() - began
    num_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    if took_s > LIMIT_S + SLACK_S or num_mib > MOST_MIB:
        return Outcome("nasty", f"{source!r:.300} took {took_s:.1f} s, {num_mib} MiB: {said:.100}")
    return Outcome("harmless" if said == "it ended well" else "nasty")


def _refused(rng: random.Random) -> Outcome:
    source = rng.choice(REFUSED)
    began = time.monotonic()
    for opened in (lambda: open_template(source), lambda: open_condition(source, "filter")):
        try:
            opened()
        except UserError as error:
            if "\n" in str(error):
                return Outcome("refused", f"{source:.100}: more than a line: {error}")
        else:
            return Outcome("refused", f"{source:.100}: it was taken")
    took_s = time.monotonic() - began
    return Outcome("refused", f"{source:.100} took {took_s:.1f} s" if took_s > SLACK_S else "")

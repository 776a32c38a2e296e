"""A template prints text, numbers and dates; never a null, or a list as Python writes it."""

import datetime
from decimal import Decimal

import pyarrow as pa
import pytest
from prompt_files import contents, read, refusal, write

from rollout.inputs.row_template import open_template

ROW = {
    "c": ["a", "b"], "d": {"k": "v"}, "n": None, "i": 3, "f": 1.5, "b": True, "s": "txt",
    "day": datetime.date(2024, 1, 2), "x": Decimal("1.50"), "o": [{"t": "y"}], "e": [],
}  # fmt: skip


def rendered(text):
    template = open_template(text)
    return template.render({name: ROW[name] for name in template.names if name in ROW})


@pytest.mark.parametrize(
    "expression",
    [
        "c", "d", "c ~ s", "s ~ d", "'x' ~ ('y' ~ c)", "c | string", "c | upper", "c | trim",
        "c | replace('a', 's')", "s | replace('t', c)", "d | indent", "c | pprint", "c | e",
        "'%s' | format(c)", "'%(a)s' | format(a=c)", "'%s' % c", "'%s' % (s, c)",
        "'%(a)s' % {'a': c}", "'{}'.format(c)", "'{a}'.format(a=d)", "s['format'](c)",
        "o | join(',')", "o | first", "c | map('upper')", "c | map('upper') | list", "d.items()",
        "c | batch(1) | first", "c | slice(2) | list | string", "range(3)", "d.values() | list",
        "[c, d] | map('string') | join", "e", "{}", "(1, 2)", "c if b else s",
    ],
)  # fmt: skip
def test_a_list_or_an_object_is_never_printed_as_python_writes_it(expression):
    with pytest.raises(ValueError, match=r"fails on this row: it prints .+; write \{\{ "):
        rendered(f"{{{{ {expression} }}}}{{{{ s }}}}")


@pytest.mark.parametrize(
    "text",
    [
        "{% set y = c %}{{ y }}{{ s }}",
        "{% for y in o %}{{ y }}{% endfor %}",
        "{% macro m(v) %}<{{ v }}>{% endmacro %}{{ m(c) }}",
        "{% if 'a' in c ~ s %}x{% endif %}",
        "{% filter upper %}{{ c }}{% endfilter %}",
    ],
)
def test_nor_through_a_variable_a_loop_a_macro_or_a_condition(text):
    with pytest.raises(ValueError, match="as Python writes it"):
        rendered(text)


@pytest.mark.parametrize("expression", ["n", "n ~ s", "n | upper", "[n, s] | join", "'%s' % n"])
def test_a_null_is_never_printed_either(expression):
    with pytest.raises(ValueError, match="it prints a null"):
        rendered(f"{{{{ {expression} }}}}{{{{ s }}}}")


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("c | join(', ')", "a, b"), ("c | tojson", '["a", "b"]'), ("d | tojson", '{"k": "v"}'),
        ("o | join(',', attribute='t')", "y"), ("o | map(attribute='t') | join", "y"),
        ("d.k", "v"), ("c[1]", "b"), ("c | first ~ i", "a3"),
        ("d.items() | list | tojson", '[["k", "v"]]'),
        ("i ~ ' ' ~ f ~ ' ' ~ b", "3 1.5 True"), ("day", "2024-01-02"), ("x", "1.50"),
        ("'%d/%.2f' % (i, f)", "3/1.50"), ("'{:.1f} {}'.format(f, s)", "1.5 txt"),
        ("'%s' | format(s)", "txt"), ("n or ''", ""), ("n | default('-', true)", "-"),
        ("s | trim | title", "Txt"), ("c | length", "2"), ("e | join", ""),
        ("(c + ['z']) | join", "abz"),
        ("d | dictsort | map('join', '=') | join", "k=v"), ("s | replace('t', 'T', 1)", "Txt"),
    ],
)  # fmt: skip
def test_text_numbers_dates_and_booleans_are_printed_as_usual(expression, text):
    assert rendered(f"{{{{ {expression} }}}}{{{{ s }}}}") == f"{text}txt"


def test_a_template_that_prints_a_column_of_lists_is_refused_before_any_row(tmp_path):
    path = write(tmp_path / "in.parquet", question=["Q"], choices=[["a", "b"]], meta=[{"id": 1}])
    listed, object_ = (refusal(path, template=f"{{{{ {n} }}}}") for n in ("choices", "meta"))
    assert "data.template prints choices, which holds list<" in listed
    assert "write {{ choices | join(', ') }}, or {{ choices | tojson }} for JSON" in listed
    assert "{{ meta.id }}" in object_
    joined = contents(path, template="{{ question }} {{ choices | join(' or ') }}")
    assert joined == ["Q a or b"]


def test_a_row_that_prints_a_list_says_which_column_it_is(tmp_path):
    rows = pa.array([["a"], ["b"]])
    path = write(tmp_path / "in.parquet", question=["1", "2"], choices=rows)
    found = read(path, template="{{ question }}{{ choices if question == '2' else '' }}")
    assert found[0].content == "1" and "{{ choices | join(', ') }}" in found[1].error

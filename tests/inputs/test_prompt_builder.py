"""Templates and system prompts, in a row and in whole commands."""

import time
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prompt_files import CHATS, JSON, contents, read, refusal, write

from rollout.config.sections.data import Data, PromptFormat, Template
from rollout.config.sections.model import Model
from rollout.config.settings import Settings
from rollout.config.validate import validate
from rollout.errors import UserError
from rollout.inputs.prompts import open_prompts

TOKENS = PromptFormat.tokens


@pytest.fixture
def sums(tmp_path):
    return write(tmp_path / "sums.parquet", question=["1+1", "2+2"], hint=["easy", None], n=[1, 2])


# data.template


def test_a_template_makes_the_prompt_from_the_rows_columns(sums):
    assert contents(sums, template="Q{{ n }}: {{ question }}\n") == ["Q1: 1+1", "Q2: 2+2"]


def test_a_template_may_be_a_file(tmp_path, sums):
    (tmp_path / "q.jinja").write_text(
        "{% if hint %}\nHint: {{ hint }}\n{% endif %}\n{{ question }}\n"
    )
    prompts = open_prompts(Data(input=sums, template="q.jinja"), tmp_path)
    assert [p.content for p in prompts] == ["Hint: easy\n1+1", "2+2"]


def test_only_the_columns_a_template_names_are_read(sums):
    prompts = open_prompts(Data(input=sums, template="{{ question }}"))
    assert prompts.builder.columns == ["question"]
    assert [batch.num_columns for _, batch in prompts._read(prompts.builder.columns, 9)] == [1]


def test_the_text_of_a_template_is_read_like_any_string(sums):
    text = '[{"role": "user", "content": {{ question | tojson }}}]'
    assert contents(sums, template=text)[0] == text.replace("{{ question | tojson }}", '"1+1"')
    chats = contents(sums, template=text, prompt_format=JSON)
    assert chats[0] == [{"role": "user", "content": "1+1"}]
    always = contents(sums, template="{{ question }}", apply_chat_template=Template.always)
    assert always == [[{"role": "user", "content": "1+1"}], [{"role": "user", "content": "2+2"}]]


def test_a_template_that_names_a_missing_column_is_refused_with_the_existing_ones(sums):
    start = time.monotonic()
    message = refusal(sums, template="{{ qestion }}")
    assert time.monotonic() - start < 1
    assert message.startswith("data.template names qestion: ")
    assert message.endswith("has columns question, hint, n. Did you mean 'question'?")


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ question", "is not a Jinja template: line 1"),
        ("{{ question | upcase }}", "No filter named 'upcase'"),
        ("{% include 'x' %}{{ question }}", "includes another template"),
        ("{{ range(3) }}", "names no column"),
        ("nowhere.jinja", "can't be read: no such file"),
        ("x" * 5000, "can't be read: File name too long"),
        ("\0", "can't be read"),
        ("  {# {} #} ", "names no column"),
    ],
)
def test_an_invalid_template_is_refused(sums, template, reason):
    assert reason in refusal(sums, template=template)


def test_a_null_a_template_prints_is_an_error_of_its_row(sums):
    good, bad = read(sums, template="{{ question }} ({{ hint }})")
    assert good.content == "1+1 (easy)"
    assert "it prints a null" in bad.error and "(null here: hint)" in bad.error
    assert contents(sums, template="{{ question }}{{ hint or '' }}")[1] == "2+2"


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ a.b }}", "has no attribute 'b'"),
        ("{{ 1 / n }}", "division by zero"),
        ("{{ a.__class__.__mro__ }}", "unsafe"),
        ("{{ a.pop('x') }}{{ n }}", "unsafe"),
        ("{{ raw }}", "column 'raw' holds binary data"),
        ("{{ far }}", "column 'far' holds binary data, or can't be read as text"),
        ("{{ a.keys }}", "it prints a function"),
        ("{{ range }}{{ n }}", "it prints a function"),
        ("{{ none }}{{ n }}", "it prints a null"),
        ("{{ '\\ud800' }}{{ n }}", "surrogates not allowed"),
        ("{% for i in range(n, 10 ** 9) %}{% endfor %}", "Range too big"),
        ("{{ a.x[n] }}", "list object has no element 0"),
        ("{% if n %}x{% endif %}", "the prompt is empty text"),
    ],
)
def test_a_template_that_fails_is_an_error_of_its_row(tmp_path, template, reason):
    path = write(
        tmp_path / "in.parquet",
        a=[{"x": []}],
        n=[0],
        raw=[b"\xff"],
        far=pa.array([1 << 30], pa.date32()),
    )
    (prompt,) = read(path, template=template)
    assert prompt.content is None and reason in prompt.error and "\n" not in prompt.error


def test_nested_columns_and_dates_reach_a_template_as_plain_values(tmp_path):
    rows = [{"choices": ["a", "b"], "price": Decimal("1.50")}]
    path = write(tmp_path / "in.parquet", item=rows, day=pa.array([1], pa.date32()))
    text = (
        "{{ item.choices | join('/') }} {{ item.price }} {{ day.year }} {{ item.choices|tojson }}"
    )
    assert contents(path, template=text) == ['a/b 1.50 1970 ["a", "b"]']


# data.system_prompt


def test_a_system_prompt_is_added_to_chats_without_one_and_turns_strings_into_chats(tmp_path):
    system = {"role": "system", "content": "Be kind."}
    path = write(tmp_path / "chats.parquet", CHATS)
    assert contents(path, system_prompt="Be kind.") == [[system, *CHATS[0]], CHATS[1]]
    path = write(tmp_path / "texts.parquet", ["Hi"])
    assert contents(path, system_prompt="Be kind.") == [[system, {"role": "user", "content": "Hi"}]]


def test_a_system_prompt_may_be_a_file_and_loses_its_last_newline(tmp_path):
    (tmp_path / "kind").write_text("Be kind.\nAlways.\n")
    path = write(tmp_path / "in.parquet", ["Hi"])
    prompts = open_prompts(Data(input=path, system_prompt="kind"), tmp_path)
    assert next(iter(prompts)).content[0]["content"] == "Be kind.\nAlways."


def test_a_mistyped_file_does_not_become_the_system_prompt(tmp_path):
    path = write(tmp_path / "in.parquet", ["Hi"])
    assert "no such file" in refusal(path, system_prompt="prompts/knd.txt")
    assert "is blank" in refusal(path, system_prompt=" ")
    assert contents(path, system_prompt="Answer yes/no.")[0][0]["content"] == "Answer yes/no."


# Settings without effect.


@pytest.mark.parametrize(
    ("data", "kwargs", "reason"),
    [
        ({"prompt_format": TOKENS, "template": "{{ a }}"}, {}, "data.template would do nothing"),
        ({"prompt_format": TOKENS, "system_prompt": "a"}, {}, "data.system_prompt would"),
        ({"prompt_format": TOKENS, "apply_chat_template": Template.always}, {}, "=always would"),
        ({"apply_chat_template": Template.never, "tools_key": "a"}, {}, "data.tools_key reaches"),
        ({"tools": "[]"}, {"tools": []}, "model.chat_template_kwargs.tools and data.tools"),
    ],
)
def test_a_setting_without_effect_because_of_another_is_refused(data, kwargs, reason):
    model = Model(model_path="m", chat_template_kwargs=kwargs)
    with pytest.raises(UserError, match=reason):
        validate(Settings(run_dir="r", model=model, data=Data(**data)))


# Whole commands.


def sampled(path):
    return pq.read_table(path / "output.parquet")["responses"].to_pylist()


SCRIPTED = ["engine=scripted", "tracking=none", "sampling.n_samples=2", "data.input=in.parquet"]


def test_a_changed_template_is_named_when_a_run_would_be_resumed(typed):
    write(typed.here / "in.parquet", ["a", "b"])
    words = [*SCRIPTED, "run_dir=run", "data.template=t.jinja"]
    (typed.here / "t.jinja").write_text("{{ prompt }}!")
    assert typed(*words).code == 0
    (typed.here / "t.jinja").write_text("{{ prompt }}?")
    assert "other settings" in typed(*words).errors[0]
    assert next(n.split() for n in typed.notes if "data.template" in n) == [
        "data.template", "{{", "prompt", "}}!", "{{", "prompt", "}}?",
    ]  # fmt: skip
    (typed.here / "moved.jinja").write_text("{{ prompt }}!")
    done = typed(*words[:-1], "data.template=moved.jinja")
    assert done.code == 0 and "nothing is owed" in done.out


def test_a_sweep_over_system_prompts_runs_on_one_engine(typed):
    write(typed.here / "in.parquet", ["a", "b"])
    words = [*SCRIPTED, "run_dir=s", "-m"]
    typed(*words, "data.system_prompt=Be brief.,Be kind.", "dry_run=true")
    assert "2 points on 1 engine" in typed.out and "2 points side by side" in typed.out
    assert typed(*words, "data.system_prompt=Be brief.,Be kind.").code == 0, typed.errors
    one, two = (sampled(path.parent) for path in sorted((typed.here / "s").rglob("output.parquet")))
    assert len(one) == len(two) == 2 and not {*one[0], *one[1]} & {*two[0], *two[1]}


def test_a_sweep_over_templates_shows_the_column_each_uses(typed):
    write(typed.here / "in.parquet", ask=["one plus one"], more=["and why"])
    templates = "data.template='{{ ask }} {{ more }}','{{ ask }}!'"
    assert typed(*SCRIPTED, "run_dir=s", "-m", templates).code == 0, typed.errors
    assert "one plus one" in (typed.here / "s" / "sweep.html").read_text()


def test_a_dry_run_names_the_columns_of_the_prompts(typed):
    write(typed.here / "in.parquet", b=["x"], a=["y"])
    typed(*SCRIPTED, "data.template={{ b }}{{ a }}", "dry_run=true")
    assert "(1 file(s), data.template over b, a)" in typed.out

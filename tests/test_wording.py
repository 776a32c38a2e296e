"""Wording: templates, system prompts, tools, token ids and sampling of a row, and its identity."""

import json
import time
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prompt_files import CHATS, JSON, contents, read, refusal, write

from rollout.config import Data, Model, PromptFormat, Settings, Template, validate
from rollout.errors import UserError
from rollout.prompts import open_prompts
from rollout.records import Prompt

ADD = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
SUB = {"name": "subtract"}
TOKENS = PromptFormat.tokens


@pytest.fixture
def sums(tmp_path):
    return write(tmp_path / "sums.parquet", question=["1+1", "2+2"], hint=["easy", None], n=[1, 2])


def error_of(tmp_path, column, key, **data):
    """The errors of rows whose column `key` is what `data.sampling_key` or so names."""
    count = len(column)
    path = write(tmp_path / "in.parquet", ["Hi"] * count, **{key: column})
    return [prompt.error for prompt in read(path, **data)]


# data.template


def test_a_template_makes_the_prompt_of_the_rows_columns(sums):
    assert contents(sums, template="Q{{ n }}: {{ question }}\n") == ["Q1: 1+1", "Q2: 2+2"]


def test_a_template_file_is_read_beside_the_input(tmp_path, sums):
    (tmp_path / "q.jinja").write_text(
        "{% if hint %}\nHint: {{ hint }}\n{% endif %}\n{{ question }}\n"
    )
    prompts = open_prompts(Data(input=sums, template="q.jinja"), tmp_path)
    assert [p.content for p in prompts] == ["Hint: easy\n1+1", "2+2"]


def test_only_the_columns_a_template_names_are_read(sums):
    prompts = open_prompts(Data(input=sums, template="{{ question }}"))
    assert prompts.wording.columns == ["question"]
    assert [batch.num_columns for _, batch in prompts._read(prompts.wording.columns, 9)] == [1]


def test_what_a_template_makes_is_read_like_any_string(sums):
    text = '[{"role": "user", "content": {{ question | tojson }}}]'
    assert contents(sums, template=text)[0] == text.replace("{{ question | tojson }}", '"1+1"')
    chats = contents(sums, template=text, prompt_format=JSON)
    assert chats[0] == [{"role": "user", "content": "1+1"}]
    always = contents(sums, template="{{ question }}", apply_chat_template=Template.always)
    assert always == [[{"role": "user", "content": "1+1"}], [{"role": "user", "content": "2+2"}]]


def test_a_template_that_names_a_missing_column_is_refused_with_those_there_are(sums):
    start = time.monotonic()
    message = refusal(sums, template="{{ qestion }}")
    assert time.monotonic() - start < 1
    assert message.startswith("data.template names qestion: ")
    assert message.endswith("has columns question, hint, n. Did you mean 'question'?")


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ question", "is no Jinja template: line 1"),
        ("{{ question | upcase }}", "No filter named 'upcase'"),
        ("{% include 'x' %}{{ question }}", "includes another template"),
        ("{{ range(3) }}", "names no column"),
        ("nowhere.jinja", "can't be read: no such file"),
        ("x" * 5000, "can't be read: File name too long"),
        ("\0", "can't be read"),
        ("  {# {} #} ", "names no column"),
    ],
)
def test_a_template_that_is_none_is_refused(sums, template, reason):
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
        ("{{ far }}", "column 'far' holds binary data, or what can't be read"),
        ("{{ a.keys }}", "it prints a function"),
        ("{{ range }}{{ n }}", "it prints a function"),
        ("{{ none }}{{ n }}", "it prints a null"),
        ("{{ '\\ud800' }}{{ n }}", "surrogates not allowed"),
        ("{% for i in range(n, 10 ** 9) %}{% endfor %}", "Range too big"),
        ("{{ a.x[n] }}", "list object has no element 0"),
        ("{% if n %}x{% endif %}", "the prompt is empty text"),
    ],
)
def test_what_fails_in_a_template_is_an_error_of_its_row(tmp_path, template, reason):
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


def test_a_system_prompt_goes_before_chats_without_one_and_makes_strings_chats(tmp_path):
    system = {"role": "system", "content": "Be kind."}
    path = write(tmp_path / "chats.parquet", CHATS)
    assert contents(path, system_prompt="Be kind.") == [[system, *CHATS[0]], CHATS[1]]
    path = write(tmp_path / "texts.parquet", ["Hi"])
    assert contents(path, system_prompt="Be kind.") == [[system, {"role": "user", "content": "Hi"}]]


def test_a_system_prompt_may_be_a_file_whose_last_line_ends(tmp_path, monkeypatch):
    (tmp_path / "kind").write_text("Be kind.\nAlways.\n")
    path = write(tmp_path / "in.parquet", ["Hi"])
    prompts = open_prompts(Data(input=path, system_prompt="kind"), tmp_path)
    assert next(iter(prompts)).content[0]["content"] == "Be kind.\nAlways."


def test_a_mistyped_file_does_not_become_the_system_prompt(tmp_path):
    path = write(tmp_path / "in.parquet", ["Hi"])
    assert "no such file" in refusal(path, system_prompt="prompts/knd.txt")
    assert "says nothing" in refusal(path, system_prompt=" ")
    assert contents(path, system_prompt="Answer yes/no.")[0][0]["content"] == "Answer yes/no."


# data.tools, data.tools_key


@pytest.mark.parametrize(
    "text", [json.dumps([ADD, SUB]), f"- {json.dumps(ADD)}\n- name: subtract\n"]
)
def test_tools_are_read_from_json_or_yaml_and_make_strings_chats(tmp_path, text):
    path = write(tmp_path / "in.parquet", ["Hi"])
    (tmp_path / "tools.yaml").write_text(text)
    for given in (text, str(tmp_path / "tools.yaml")):
        (prompt,) = read(path, tools=given)
        assert prompt.tools == [ADD, SUB] and prompt.content == CHATS[0]


@pytest.mark.parametrize(
    ("tools", "reason"),
    [
        ("{}", "tools is {}, not a list"),
        ("[3]", "tool 1 of 1 is 3, not an object"),
        ("[{", "data.tools: while parsing"),
        ("[]", None),
        ('[{"type": "function"}]', "tool 1 of 1 is a function without a name"),
        ("tools.yaml", "no such file"),
        ("[{name: a, when: 2020-01-01}]", "tool 1 of 1 has date, not text"),
    ],
)
def test_tools_that_are_none_are_refused(tmp_path, tools, reason):
    path = write(tmp_path / "in.parquet", ["Hi"])
    if reason:
        assert reason in refusal(path, tools=tools)
    else:
        assert read(path, tools=tools)[0].tools is None


def test_a_rows_own_tools_come_before_those_of_all(tmp_path):
    own = pa.array([[{"name": "subtract", "description": None}], None, []])
    path = write(tmp_path / "in.parquet", ["Hi"] * 3, own=own)
    rows = read(path, tools=json.dumps([ADD]), tools_key="own")
    assert [row.tools for row in rows] == [[SUB], [ADD], None]
    path = write(tmp_path / "in.parquet", ["Hi"] * 4, own=[json.dumps([SUB]), "", "[]", "null"])
    rows = read(path, tools=json.dumps([ADD]), tools_key="own")
    assert [row.tools for row in rows] == [[SUB], [ADD], None, [ADD]]
    path = write(tmp_path / "in.parquet", ["Hi"], own=[[json.dumps(SUB)]])
    assert read(path, tools_key="own")[0].tools == [SUB]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("[1", "tools is not JSON"),
        ('{"name": "a"}', "not a list"),
        ("3", "tools is 3, not a list"),
        ('["x"]', "tool 1 of 1 is not JSON"),
        ('[{"name": "\\ud800"}]', "tools's JSON escapes half a surrogate pair"),
        ('[{"name": ""}]', "function without a name"),
        ('[{"name": NaN}]', "holds NaN"),
        ('[{"name": "a", "x": NaN}]', "holds NaN"),
        ("[" * 100_000, "tools is not JSON"),
        ('[{"name": "a", "x": ' + "[" * 60 + "]" * 60 + "}]", "more than 50 deep"),
        ([None], "tool 1 of 1 is null"),
        ([{"name": None}], "tool 1 of 1 is {}"),
    ],
)
def test_tools_that_are_none_are_an_error_of_their_row(tmp_path, value, reason):
    kind = None if isinstance(value, str) else pa.list_(pa.struct([("name", pa.string())]))
    column = pa.array([value], kind)
    (error,) = error_of(tmp_path, column, "own", tools_key="own")
    assert reason in error and "\n" not in error


# data.sampling_key


def test_a_rows_sampling_is_a_struct_a_map_or_json_without_nulls(tmp_path):
    structs = [{"temperature": 0.2, "stop": ["\n"], "top_k": None}, {"top_k": 5}, None]
    maps = pa.array([[("top_p", 0.5)], [], None], pa.map_(pa.string(), pa.float64()))
    texts = ['{"stop": ["a"], "seed": null}', "", "null"]
    found = []
    for column in (structs, maps, texts):
        path = write(tmp_path / "in.parquet", ["Hi"] * 3, own=column)
        found.append([row.sampling for row in read(path, sampling_key="own")])
    assert found == [
        [{"temperature": 0.2, "stop": ["\n"]}, {"top_k": 5}, None],
        [{"top_p": 0.5}, None, None],
        [{"stop": ["a"]}, None, None],
    ]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("{", "sampling is not JSON"),
        ("[1]", "sampling is [1], not an object"),
        ('"x"', 'sampling is "x", not an object'),
        ('{"n": 2}', "sampling sets n, which is one for all rows: sampling.n_samples"),
        ('{"n_samples": 2}', "sampling.n_samples"),
        ('{"seed": 2}', "sampling.seed"),
        ('{"max_tokens": "auto"}', "max_tokens to"),
        ('{"max_tokens": 0}', "not a number above 0"),
        ('{"temperature": NaN}', "holds NaN"),
        ('{"stop": ["\\udc00"]}', "half a surrogate pair"),
        ({"temperature": float("nan")}, "sampling.temperature has nan"),
        ({"temperature": Decimal("0.5")}, "sampling.temperature has Decimal"),
        ({"stop": [b"x"]}, "text that is not UTF-8"),
        ({"seed": 1}, "sampling.seed"),
    ],
)
def test_sampling_that_is_none_is_an_error_of_its_row(tmp_path, value, reason):
    (error,) = error_of(tmp_path, [value], "own", sampling_key="own")
    assert reason in error and "\n" not in error


@pytest.mark.parametrize("key", ["sampling_key", "tools_key"])
def test_an_option_column_that_cannot_hold_it_is_refused(tmp_path, key):
    path = write(tmp_path / "in.parquet", ["Hi"], own=[3.5])
    assert "fitting columns: prompt" in refusal(path, **{key: "own"})
    assert f"data.{key}=ow: " in refusal(path, **{key: "ow"})
    assert "Did you mean" in refusal(path, **{key: "prompts"})


# data.prompt_format=tokens


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.int64()), pa.large_list(pa.uint16()), pa.list_(pa.int32(), 2)], ids=str
)
def test_token_ids_are_asked_as_they_are(tmp_path, kind):
    path = write(tmp_path / "in.parquet", pa.array([[5, 6], [7, 8]], kind))
    rows = read(path, prompt_format=TOKENS)
    assert [(r.content, r.error, r.token_ids) for r in rows] == [
        (None, None, [5, 6]),
        (None, None, [7, 8]),
    ]


def test_lists_that_hold_no_token_ids_are_errors_of_their_rows(tmp_path):
    column = pa.array([None, [], [1, None], [-1], [3]], pa.list_(pa.int64()))
    path = write(tmp_path / "in.parquet", column)
    assert [row.error for row in read(path, prompt_format=TOKENS)] == [
        "the prompt is null",
        "the prompt is an empty list of token ids",
        "token 2 of 2 is null, not an id",
        "token 1 of 1 is -1, not an id",
        None,
    ]


def test_keys_of_sampling_that_are_not_text_are_an_error_of_their_row(tmp_path):
    column = pa.array([[(1, 0.5)]], pa.map_(pa.int64(), pa.float64()))
    (error,) = error_of(tmp_path, column, "own", sampling_key="own")
    assert error == "sampling has the key 1, which is not text"


def test_a_column_without_token_ids_is_refused(tmp_path):
    for column in (["1 2"], [[1.5]], [["1"]], [3]):
        path = write(tmp_path / "in.parquet", column, ids=[[1]])
        message = refusal(path, prompt_format=TOKENS)
        assert "not a list of integers (token ids)" in message
        assert message.endswith("fitting columns: ids")
    assert "data.prompt_format=tokens" in refusal(write(tmp_path / "in.parquet", [[1]]))


# Settings that would do nothing.


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
def test_a_setting_that_another_makes_idle_is_refused(data, kwargs, reason):
    model = Model(model_path="m", chat_template_kwargs=kwargs)
    with pytest.raises(UserError, match=reason):
        validate(Settings(run_dir="r", model=model, data=Data(**data)))


# Identity.


def test_digests_of_plain_rows_are_what_they_were():
    """Runs begun before rows had options must still know their rows."""
    assert Prompt(0, 0, "Hi").digest.hex() == "17d0dba9164f32b85681d9d1687edb23"
    assert Prompt(0, 0, CHATS[0]).digest.hex() == "8116f69b72258e91d1be024e4eaa3254"


def test_whatever_changes_what_is_asked_changes_the_digest():
    prompts = [
        Prompt(0, 0, "1 2"),
        Prompt(0, 0, None),
        Prompt(0, 0, None, token_ids=[1, 2]),
        Prompt(0, 0, None, token_ids=[1, 2], sampling={"top_k": 1}),
        Prompt(0, 0, CHATS[0]),
        Prompt(0, 0, CHATS[0], tools=[SUB]),
        Prompt(0, 0, CHATS[0], tools=[ADD]),
        Prompt(0, 0, CHATS[0], sampling={"top_k": 1}),
        Prompt(0, 0, CHATS[0], sampling={"top_k": 2}),
    ]
    assert len({prompt.digest for prompt in prompts}) == len(prompts)


def sampled(path):
    return pq.read_table(path / "output.parquet")["responses"].to_pylist()


SCRIPTED = ["engine=scripted", "tracking=none", "sampling.n_samples=2", "data.input=in.parquet"]


def test_a_changed_template_is_named_where_a_run_would_go_on(typed):
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


def test_a_sweep_over_what_is_asked_runs_on_one_engine(typed):
    write(typed.here / "in.parquet", ["a", "b"])
    words = [*SCRIPTED, "run_dir=s", "-m"]
    typed(*words, "data.system_prompt=Be brief.,Be kind.", "dry_run=true")
    assert "2 points on 1 engine" in typed.out and "2 points side by side" in typed.out
    assert typed(*words, "data.system_prompt=Be brief.,Be kind.").code == 0, typed.errors
    one, two = (sampled(path.parent) for path in sorted((typed.here / "s").rglob("output.parquet")))
    assert len(one) == len(two) == 2 and not {*one[0], *one[1]} & {*two[0], *two[1]}


def test_a_sweep_over_templates_shows_the_column_each_asks(typed):
    write(typed.here / "in.parquet", ask=["one plus one"], more=["and why"])
    templates = "data.template='{{ ask }} {{ more }}','{{ ask }}!'"
    assert typed(*SCRIPTED, "run_dir=s", "-m", templates).code == 0, typed.errors
    assert "one plus one" in (typed.here / "s" / "sweep.html").read_text()


def test_a_dry_run_says_what_prompts_are_made_of(typed):
    write(typed.here / "in.parquet", b=["x"], a=["y"])
    typed(*SCRIPTED, "data.template={{ b }}{{ a }}", "dry_run=true")
    assert "(1 file(s), data.template over b, a)" in typed.out


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[{"name": "a", "name": "b"}]', "has the key 'name' twice"),
        ("- name: a\n  name: b\n", "has the key 'name' twice"),
        ('[{"name": "a", "x": 1e400}]', "holds 1e400"),
        ("- {name: a, x: 12345678901234567890.0}", "would change to"),
    ],
)
def test_tools_are_read_exactly_or_refused(tmp_path, text, reason):
    """JSON and YAML both kept the last of equal keys, and YAML read 1e5 of JSON as text."""
    path = write(tmp_path / "in.parquet", ["Hi"])
    (tmp_path / "tools.json").write_text(text)
    said = refusal(path, tools=str(tmp_path / "tools.json"))
    assert said.startswith("data.tools: its ") and reason in said
    (tmp_path / "tools.json").write_text('[{"name": "a", "x": 1e5}]')
    (prompt,) = read(path, tools=str(tmp_path / "tools.json"))
    assert prompt.tools == [{"name": "a", "x": 1e5}]

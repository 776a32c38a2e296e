"""Tools: read from text, files or a row's own column, exactly or not at all."""

import json

import pyarrow as pa
import pytest
import yaml
from prompt_files import CHATS, error_of, read, refusal, write

ADD = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
SUB = {"name": "subtract"}


@pytest.mark.parametrize(
    "text", [json.dumps([ADD, SUB]), f"- {json.dumps(ADD)}\n- name: subtract\n"]
)
def test_tools_are_read_from_json_or_yaml_and_turn_strings_into_chats(tmp_path, text):
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
def test_bad_tools_are_refused(tmp_path, tools, reason):
    path = write(tmp_path / "in.parquet", ["Hi"])
    if reason:
        assert reason in refusal(path, tools=tools)
    else:
        assert read(path, tools=tools)[0].tools is None


def test_a_date_is_refused_although_a_library_made_yaml_read_dates_as_text(tmp_path, monkeypatch):
    """lm-format-enforcer, which vLLM loads, does; the second run of a process took the date."""
    tag = "tag:yaml.org,2002:timestamp"
    as_text = yaml.SafeLoader.yaml_constructors["tag:yaml.org,2002:str"]
    monkeypatch.setitem(yaml.SafeLoader.yaml_constructors, tag, as_text)
    path = write(tmp_path / "in.parquet", ["Hi"])
    assert "tool 1 of 1 has date" in refusal(path, tools="[{name: a, when: 2020-01-01}]")


def test_a_rows_own_tools_override_the_runs(tmp_path):
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
def test_bad_tools_of_a_row_are_its_error(tmp_path, value, reason):
    kind = None if isinstance(value, str) else pa.list_(pa.struct([("name", pa.string())]))
    column = pa.array([value], kind)
    (error,) = error_of(tmp_path, column, "own", tools_key="own")
    assert reason in error and "\n" not in error


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
    message = refusal(path, tools=str(tmp_path / "tools.json"))
    assert message.startswith("data.tools: its ") and reason in message
    (tmp_path / "tools.json").write_text('[{"name": "a", "x": 1e5}]')
    (prompt,) = read(path, tools=str(tmp_path / "tools.json"))
    assert prompt.tools == [{"name": "a", "x": 1e5}]

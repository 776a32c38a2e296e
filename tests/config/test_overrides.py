"""One override: a text is taken literally, whatever it means in Hydra's grammar."""

import itertools
import json

import pandas as pd
import pytest

from rollout.config.compose import compose
from rollout.config.overrides import override, quoted

SCRIPTED = ("engine=scripted", "tracking=none")
ODD_TEXTS = [
    "", " ", " both ", "\t", "a b", "'", '"', "''", "it's", 'say "hi"', "'quoted'", '"quoted"',
    "\\", "\\\\", "a\\", "a\\\\", "\\'", "\\\\'", "'\\", "a\\'b", "C:\\new\\dir", "${x}",
    "\\${x}", "\\\\${x}", "${", "a${b", "$", "$HOME", "${oc.env:HOME}", "{{ messages }}", "a,b",
    "[a,b]", "[", "]", "{a: b}", "{", "}", "(", ")", "f(x)", "a=b", "=", "a:b", ":", "#", "a # b",
    "a\nb", "\n", "\\\n", "ß€漢🎉", "null", "None", "true", "False", "yes", "1", "1e3", "0x10",
    "1_000", "nan", "inf", "-1", "~", "~a", "~/b", "!tag", "&a", "*a", "@", "%", "`", "|", ">",
    "?", "a;b", "<s>", "choice(1,2)", "glob(*)", "str(1)", "..", "-", "--help", "+a=1",
]  # fmt: skip
WRITABLE_PATHS = [
    "a b", "a(b)", "it's", 'say "hi"', "a,b", "a=b", "a[1]", "{a: b}", "漢字", "1e3", "true", "7",
    "a#b", "a;b", "$HOME", "a\\b", " a", "-a", "a:b", "a%b", "[x]", "choice(1,2)",
]  # fmt: skip


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "prompts.parquet"
    pd.DataFrame({"prompt": ["one", "two"], "question": ["three", "four"]}).to_parquet(path)
    return path


def test_any_text_comes_through_hydra_unchanged():
    named = {f"t{i}": text for i, text in enumerate(ODD_TEXTS)}
    settings = compose(
        {"tracking.tags": ODD_TEXTS, "engine.extra": named, "sampling.extra": {"x": named}}
    )
    assert settings.tracking.tags == ODD_TEXTS
    assert settings.engine.extra == named and settings.sampling.extra == {"x": named}


@pytest.mark.parametrize("text", ["${x}", "it's \\", "1e3", " padded ", "{{ messages }}\n", "漢"])
def test_any_text_comes_through_a_text_setting_unchanged(text):
    assert compose({"model.chat_template": text}).model.chat_template == text


def test_any_mixture_of_quotes_backslashes_and_braces_is_quoted_right():
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    parser = OverridesParser.create()
    for pieces in itertools.product(["'", '"', "\\", "${", "}", "a", "\n"], repeat=4):
        text = "".join(pieces)
        value = parser.parse_override(f"x={quoted(text)}").value()
        assert OmegaConf.create({"x": value}).x == text


def test_plain_values_keep_their_type():
    values = [None, True, False, 0, -1, 1.5, 1e-9, [1, "a"], {"a": {"b": [None]}, 5: 0.5}]
    extra = compose({"engine.extra": {"x": values}}).engine.extra
    assert json.dumps(extra) == json.dumps({"x": values})


def test_an_override_of_a_free_key_needs_no_plus():
    assert override("sampling.extra.top_a", 0.1) == "++sampling.extra.top_a=0.1"
    assert override("sampling.seed", None) == "sampling.seed=null"


@pytest.mark.parametrize("name", WRITABLE_PATHS, ids=ascii)
def test_a_path_is_taken_as_it_is_typed(typed, tmp_path, prompts, name):
    source = prompts.rename(tmp_path / f"{name}.parquet")
    typed(
        *SCRIPTED, f"data.input={source}", f"output.path=out/{name}", f"run_dir={name}",
        f"model.model_path={name}", "sampling.n_samples=1",
    )  # fmt: skip
    assert typed.code == 0, typed.errors
    record = json.loads((typed.here / name / "run.json").read_text())
    assert (typed.here / "out" / name).is_file()
    assert record["config"]["model"]["model_path"] == name
    assert record["config"]["data"]["input"] == str(source)


@pytest.mark.parametrize("text", ["1e3", "true", "[a]", "{a:b}", "0x10", "a,b", "7", " a ", "f(x)"])
def test_text_that_looks_like_something_else_stays_text(typed, text):
    assert typed.settings(f"tracking.name={text}")["tracking"]["name"] == text


@pytest.mark.parametrize(
    ("typed_text", "meant"),
    [(r"'a\${b}'", "a${b}"), ("'a b'", "a b"),
     ('"1e3"', "1e3"), ("'null'", "null"), ("null", None), ("", None),
     (r"a\,b", "a,b"), ("${model.revision}", None), ("'${tracking.project}-x'", "rollout-x")],
)  # fmt: skip
def test_hydras_own_quotes_escapes_and_interpolations_still_work(typed, typed_text, meant):
    assert typed.settings(f"tracking.name={typed_text}")["tracking"]["name"] == meant


def test_a_tilde_is_the_home_directory(typed, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    typed(*SCRIPTED, "run_dir=~/run", "sampling.n_samples=1")
    assert (tmp_path / "home" / "run" / "summary.json").is_file()
    assert [name for name in typed.left if "~" in name] == []


@pytest.mark.parametrize("key", ["run_dir", "data.input", "output.path", "model.model_path"])
def test_a_home_that_does_not_exist_is_refused(typed, key):
    said = typed.refused(*SCRIPTED, f"{key}=~no_such_user/x")
    assert said == "~no_such_user/x: there is no such home directory; type ./~no_such_user/x"


# Free settings.


@pytest.mark.parametrize(
    ("word", "key", "value"),
    [
        ("sampling.extra.top_a=0.1", "sampling.extra", {"top_a": 0.1}),
        ("+sampling.extra.top_a=0.1", "sampling.extra", {"top_a": 0.1}),
        ("engine.extra.foo.bar=1", "engine.extra", {"foo": {"bar": 1}}),
        ("engine.extra.path=/a b(c)", "engine.extra", {"path": "/a b(c)"}),
        ("sampling.extra.stop=[a,'b c']", "sampling.extra", {"stop": ["a", "b c"]}),
        ("sampling.extra={top_a:0.1}", "sampling.extra", {"top_a": 0.1}),
        ("model.chat_template_kwargs.a=false", "model.chat_template_kwargs", {"a": False}),
    ],
)  # fmt: skip
def test_free_settings_take_any_key_without_a_plus(typed, word, key, value):
    section, name = key.split(".")
    assert typed.settings(word)[section][name] == value


@pytest.mark.parametrize("key", ["scale.num_replicas", "sampling.max_tokens"])
def test_a_number_or_auto_is_asked_for_in_these_words(typed, key):
    """It said "is not int or text"."""
    assert typed.refused(f"{key}=2.5") == f"{key}=2.5: type a whole number, or auto"

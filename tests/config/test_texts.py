r"""Texts with `${`: they are taken literally, or refused with what to type instead."""

import json
import shlex

import pytest
from in_process import one_prompt

from rollout.config.compose import compose
from rollout.config.overrides import how_to_type
from rollout.errors import UserError
from rollout.system.formats.plain_yaml import read_yaml, to_yaml

SCRIPTED = ("engine=scripted", "tracking=none")
LATEX = r"$\text{${x}$}$"
ODD = [
    LATEX,
    "${",
    "$${",
    r"\${",
    r"\\${x}",
    "${now:}",
    "${oc.env:HOME}",
    "a\\",
    "'${\"",
    "${\n}",
    "é𝒳${",
]


@pytest.mark.parametrize("text", ODD)
def test_a_text_from_a_file_is_kept_by_a_run_exactly(typed, text):
    """config.yaml was written through omegaconf, which took `${` for an interpolation: the run
    ended with a GrammarParseError."""
    given = {"engine": {"scripted": {"text": text}}, "sampling": {"stop": [text], "n_samples": 1}}
    (typed.here / "my.yaml").write_text(json.dumps(given))
    typed(*SCRIPTED, f"data.input={one_prompt(typed.here)}", "run_dir=r", "config_file=my.yaml")
    assert typed.code == 0, typed.errors
    kept = read_yaml((typed.here / "r/attempts/1/config.yaml").read_text())
    assert kept["engine"]["scripted"]["text"] == text and kept["sampling"]["stop"] == [text]
    assert "finished already" in typed("run_dir=r").out, typed.errors
    assert typed("run_dir=q", "config_file=r/attempts/1/config.yaml").code == 0, typed.errors


@pytest.mark.parametrize("text", ODD)
def test_a_text_from_python_arrives_exactly_in_every_free_form_setting(text):
    inner = {"name": [text, {"deep": text}]}
    bags = ("sampling.extra", "engine.extra", "model.chat_template_kwargs")
    settings = compose({"engine": "scripted", "data.input": "x"} | dict.fromkeys(bags, inner))
    found = (settings.sampling.extra, settings.engine.extra, settings.model.chat_template_kwargs)
    assert found == (inner, inner, inner)


@pytest.mark.parametrize("typed_text", ["${", "$${", "a ${x}", "${now:", "${data.nothing}"])
def test_a_broken_interpolation_is_refused_with_the_word_that_says_the_text(typed, typed_text):
    """`run_dir=${` created a directory of that name."""
    for key in ("run_dir", "data.system_prompt", "engine.extra.a"):
        said = typed.refused(*SCRIPTED, "data=example", f"{key}={typed_text}")
        word = shlex.split(said.partition("for the text itself type ")[2])
        typed("--cfg", "job", *SCRIPTED, "data=example", *word)
        assert word and typed.code == 0, typed.errors


@pytest.mark.parametrize("text", ODD)
def test_the_word_that_says_a_text_is_read_as_that_text(text):
    from rollout.config.compose import compose_words
    from rollout.config.overrides import checked_override

    word = shlex.split(how_to_type("data.system_prompt", text))
    words = [checked_override(w, None, False) for w in ["engine=scripted", "data.input=x", *word]]
    assert compose_words(words, None).data.system_prompt == text


def test_an_interpolation_that_was_typed_is_filled_in(typed):
    words = (*SCRIPTED, "data=example", "sampling.seed=7")
    given = "output.path=answers(1)/${sampling.seed}.parquet"
    assert typed.settings(*words, given)["output"]["path"] == "answers(1)/7.parquet"


# YAML.

REFUSED = {
    "&a [*a]": "refers to itself",
    "engine: &x {extra: {b: *x}}": "refers to itself",
    "sampling: &x {<<: *x}": "refers to itself",
    "sampling: {seed: 1, seed: 2}": "duplicate key seed",
    "sampling: {seed: 1}\nsampling.seed: 2": "sampling.seed is given twice",
    "sampling: {extra: {null: 1}}": "not a setting's name",
    "sampling: {extra: {a: !!binary aGk=}}": "!!binary",
    "sampling: {extra: {a: .nan}}": "not a finite number",
    "sampling: {extra: {a: 99999999999999999999}}": "64 bits",
    "sampling: {seed: " + "9" * 5000 + "}": "too large",
    "[" * 2000: "nested more than",
    "a: &a [x,x]\nb: &b ["
    + ",".join(["*a"] * 99)
    + "]\nc: &c ["
    + ",".join(["*b"] * 99)
    + "]\nd: ["
    + ",".join(["*c"] * 99)
    + "]": "aliases expand",
}


@pytest.mark.parametrize("text", REFUSED)
def test_yaml_that_can_be_no_settings_is_one_line(typed, text):
    """A file that refers to itself raised a RecursionError in all four commands."""
    (typed.here / "my.yaml").write_text(text)
    assert REFUSED[text] in typed.refused(*SCRIPTED, "data=example", "config_file=my.yaml")


def test_a_python_value_that_refers_to_itself_is_refused():
    value = {}
    value["a"] = value
    with pytest.raises(UserError, match="refers to itself"):
        compose({"engine": "scripted", "sampling.extra": value})


def test_what_is_written_as_yaml_is_read_back_exactly():
    texts = [*ODD, "a\x85b", "\u2028", " a\n b\r", "1e3", "null", "x " * 200, "\0", "\ufeff"]
    plain = {"a": texts, "b": {text: text for text in texts}}
    assert read_yaml(to_yaml(plain)) == plain


# Paths and names.

LONG = "/".join(["", *["d" * 200] * 21])[:4085]


@pytest.mark.parametrize("path", [LONG, "n" * 300, "a\0b", "a\ud800b"])
@pytest.mark.parametrize(
    "key",
    ["run_dir", "output.path", "prepare.output.path", "postprocess.export.path"],
)
def test_a_path_that_no_file_can_have_is_refused_before_any_work(key, path):
    """A run_dir of 4,085 bytes caused a traceback once files were written into it."""
    with pytest.raises(UserError, match=f"^{key}=.*(too long|null byte|UTF-8)"):
        compose({"engine": "scripted", "data.input": "x"} | {key: path})


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("sampling.max_model_len", "engine.max_model_len"),
        ("engine.temperature", "sampling.temperature"),
        ("data.n_samples", "sampling.n_samples"),
        ("model.seed", "sampling.seed"),
        ("engine.temprature", "sampling.temperature"),
        ("postprocess.max_tokens", "postprocess.select.max_tokens"),
    ],
)
def test_a_key_under_another_section_is_answered_with_the_right_one(typed, key, meant):
    assert f"did you mean {meant}?" in typed.refused(*SCRIPTED, f"{key}=1")


@pytest.mark.parametrize(
    "word", ["data.system_prompt=???", "output.path='???'", "sampling.stop=['???']"]
)
def test_three_question_marks_are_refused_and_never_dropped(typed, word):
    """omegaconf takes them for an unset value, so the text was silently lost."""
    one_prompt(typed.here)
    said = typed.refused("data.input=in.parquet", "engine=scripted", word, "run_dir=run")
    assert "three question marks" in said

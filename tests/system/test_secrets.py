"""Secrets are starred in everything saved and printed; the field's own terms are not."""

import pytest
from in_process import one_prompt

from rollout.config.fingerprint import redacted, to_plain
from rollout.errors.secret_texts import is_secret_name, without_secrets

SECRETS = [
    "https://user:PASSWORD9@host/x", "https://PASSWORD9@host", "postgres://u:p@PASSWORD9@h/db",
    "http://h/x?a=1&token=PASSWORD9", "http://h/x?api_key=PASSWORD9",
    "Authorization: Bearer PASSWORD9",
    "Bearer PASSWORD9", "x-api-key: PASSWORD9", "hf_PASSWORD9PASSWORD9",
    "-----BEGIN RSA PRIVATE KEY-----\nPASSWORD9\n-----END RSA PRIVATE KEY-----",
]  # fmt: skip
PLAIN = [
    "max_tokens=5", "the author's tokenizer: slow", "Basic arithmetic of bearer certificates",
    "risk-assessment-of-long-texts", "http://x.org/a@b", "mail a@b.org", "data.prompt_key=question",
    "stop_token_ids: [1]", "http://x.org/?page=2",
]  # fmt: skip


@pytest.mark.parametrize("text", SECRETS)
def test_a_secret_in_any_text_is_starred(text):
    from rollout.config.compose import compose

    assert "PASSWORD9" not in without_secrets(text) and "***" in without_secrets(text)
    given = {"sampling.extra": {"a": [text]}, "data.system_prompt": text, "sampling.stop": [text]}
    settings = compose({"engine": "scripted", "data.input": "x"} | given)
    assert "PASSWORD9" not in str(to_plain(settings))
    assert "PASSWORD9" not in str(redacted([f"engine.extra.url={text}", f"data.input={text}"]))


@pytest.mark.parametrize("text", PLAIN)
def test_prose_and_the_words_of_the_field_are_not_starred(text):
    assert without_secrets(text) == text


def test_names_say_what_is_a_secret():
    secret = "auth apiKey X-Auth-Token client_secret password private_key hf_token Cookie"
    plain = "author authors max_tokens tokenizer stop_token_ids eos_token tokenizer_mode monkey"
    assert all(map(is_secret_name, secret.split())) and not any(map(is_secret_name, plain.split()))


def test_what_was_starred_has_to_be_typed_again_and_a_changed_one_is_noticed(typed):
    """A password in engine.extra.url, and a value named auth, were saved unstarred."""
    words = [
        "engine=scripted",
        "tracking=none",
        f"data.input={one_prompt(typed.here)}",
        "run_dir=r",
    ]
    url, auth = "engine.extra.url=https://u:PASSWORD9@h", "engine.extra.auth=PASSWORD8"
    assert typed(*words, url, auth).code == 0, typed.errors
    saved = b"".join(path.read_bytes() for path in (typed.here / "r").rglob("*") if path.is_file())
    assert b"PASSWORD" not in saved and "PASSWORD" not in typed.out
    assert "type engine.extra.url=... beside run_dir=" in typed.refused("run_dir=r")
    refused = typed.refused("run_dir=n", "config_file=r/attempts/1/config.yaml")
    assert "type engine.extra.url=... beside config_file=" in refused
    assert "finished already" in typed("run_dir=r", url, auth).out, typed.errors
    typed(*words, url, "engine.extra.auth=PASSWORD7", "data.limit=1")
    assert typed.code == 2 and "engine.extra.auth" in str(typed.notes)
    assert "PASSWORD" not in str([*typed.errors, *typed.notes])


def test_a_secret_of_the_environment_is_not_said(typed, monkeypatch):
    monkeypatch.setenv("MODEL_PATH", "https://u:PASSWORD9@host/m")
    typed("engine=scripted", "tracking=none", "data=example", "dry_run=true")
    said = next(note for note in typed.notes if "MODEL_PATH=" in note)
    assert "***" in said and "PASSWORD" not in str([*typed.notes, typed.out])

"""sampling.max_tokens and the context: refused if no prompt has room, else noted."""

import pytest

from rollout.config.sections.sampling import Sampling
from rollout.plan.messages import room_note
from rollout.plan.prompts.lengths import Lengths

DEMO = ("tracking=none", "data.limit=2")


def test_a_max_tokens_that_fills_the_context_is_refused_before_anything_is_loaded(typed):
    typed(*DEMO, "sampling.max_tokens=512", "engine.max_model_len=512", "run_dir=r")
    assert typed.code == 2 and "sampling.max_tokens=auto" in typed.errors[0]
    assert "context of 512 tokens (engine.max_model_len)" in typed.errors[0]
    assert not (typed.here / "r").exists()


def test_a_models_own_context_is_known_before_it_is_loaded(typed):
    typed(*DEMO, "sampling.max_tokens=8192")
    assert typed.code == 2 and "8,192 tokens (the model's own)" in typed.errors[0]


def test_the_default_of_max_tokens_is_not_refused_in_a_small_context(typed):
    typed(*DEMO, "sampling=default", "engine.max_model_len=512", "dry_run=true")
    assert typed.code == 0, typed.errors


@pytest.mark.parametrize(
    ("max_tokens", "message"),
    [("auto", None), (10, None), (60, "1 of 4 rows leave room for fewer")],
)
def test_rows_with_less_room_than_max_tokens_are_counted(max_tokens, message):
    lengths = Lengths(
        num_rows=4, num_bad=0, first_bad=None, num_refused=0, first_refusal=None, num_strings=4,
        num_chats=0, num_given=0, num_bytes=280, num_counted=4, is_sample=False, mean=70, p50=20,
        p95=200, p99=200, longest=200, longest_bound=200, histogram=(), sample=(10, 20, 50, 200),
        long_rows=(), doubts=(),
    )  # fmt: skip
    note = room_note(lengths, 100, Sampling(max_tokens=max_tokens))
    assert note is None if message is None else message in note

"""Counts as text."""

import pytest

from rollout.system.terminal import counted, share_text


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (1234, "1,234 rows")]
)
def test_one_row_is_not_one_rows(number, text):
    assert counted(number, "row") == text


def test_halves_of_a_percent_are_rounded_up():
    shares = {0.2875: "28.8%", 0.2825: "28.3%", 0.0: "0.0%", 1.0: "100.0%"}
    assert {share: share_text(share) for share in shares} == shares

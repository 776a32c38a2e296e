"""The last lines of a run: small shares are told apart from none."""

import pytest

from rollout.runs.display import percent


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0001, "<0.1%"), (0.0005, "0.1%"), (0.034, "3.4%"), (0.0999, "10%"), (0.468, "47%"),
     (1.0, "100%")],
)  # fmt: skip
def test_a_share_has_one_decimal_below_ten_percent(share, text):
    assert percent(share) == text

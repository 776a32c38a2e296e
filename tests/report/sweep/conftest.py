"""A point with a scored file."""

from functools import partial

import pytest
from scored_points import scored_point


@pytest.fixture
def scored(tmp_path):
    """`scored("a", num_right)` is a point with that many of 8 samples right in each row."""
    return partial(scored_point, tmp_path)

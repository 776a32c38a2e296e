"""A tokenizer for the planner's tests."""

import pytest
from tiny_model import make_tokenizer


@pytest.fixture
def model_dir(tmp_path):
    """A tokenizer without weights, whose tokenizer_config.json tests may change."""
    make_tokenizer(tmp_path)
    return tmp_path

"""A file of prompts for whole commands."""

import pandas as pd
import pytest


@pytest.fixture
def prompts(tmp_path):
    """Write a file of two prompts, with a column that has the name of an output column."""
    path = tmp_path / "prompts.parquet"
    pd.DataFrame({"prompt": ["one", "two"], "seed": [1, 2]}).to_parquet(path)
    return path

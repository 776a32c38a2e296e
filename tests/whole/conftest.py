"""A file of prompts for whole commands."""

import pandas as pd
import pytest


@pytest.fixture
def prompts(tmp_path):
    """A file of two prompts, with a column whose name an output column has too."""
    path = tmp_path / "prompts.parquet"
    pd.DataFrame({"prompt": ["one", "two"], "seed": [1, 2]}).to_parquet(path)
    return path

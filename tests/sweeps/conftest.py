"""Prompts to sweep over, and the command that does."""

import pandas as pd
import pytest
from swept import SCRIPTED


@pytest.fixture
def prompts(typed):
    table = pd.DataFrame({"prompt": [f"prompt {i}" for i in range(40)], "id": range(40)})
    table.to_parquet(typed.here / "p.parquet")
    return typed.here / "p.parquet"


@pytest.fixture
def sweep(typed, prompts):
    """`sweep("sampling.seed=1,2")` runs that sweep in the directory s."""
    return lambda *words: typed(
        *SCRIPTED, f"data.input={prompts}", "run_dir=s", "sampling.n_samples=2", "-m", *words
    )

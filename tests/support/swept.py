"""A sweep on the scripted engine, in the directory s, and its results."""

import pandas as pd

SCRIPTED = ["engine=scripted", "tracking=none"]
TEMPERATURES = "sampling.temperature=0.5,0.7,1.0"


def responses(run_dir):
    return pd.read_parquet(run_dir / "output.parquet")["responses"].map(list).tolist()


def table(typed):
    return pd.read_parquet(typed.here / "s" / "sweep.parquet").set_index("point")


def num_loads(done):
    """Count the loads begun; a slow one says more lines that begin like it, with its phase."""
    return sum(note.startswith("loading ") and note.endswith(" ...") for note in done.notes)

"""A few cases of every class of the fuzzers; `python tests/fuzz.py` runs more of them."""

import fuzz
import pytest

NUM_CASES = {"schemas": 5, "scorings": 8, "signals": 5, "records": 8, "places": 8}  # slow ones


@pytest.mark.parametrize("name", fuzz.classes())
def test_no_case_of_a_class_has_a_fault(name, tmp_path):
    outcomes = fuzz.fuzz(name, NUM_CASES.get(name, 12), seed=1, jobs=1, base=tmp_path)
    assert [outcome.fault for outcome in outcomes if outcome.fault] == []

"""Whatever a scorer does, only its sample gets an error, and every figure stays a number."""

import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fuzz_scorings import FUNCTION, json_faults
from hostile_function import EXPECTED, SLOW
from typed_in_process import POSTPROCESS, typed

from rollout.config.settings import Settings
from rollout.config.validate import validate
from rollout.errors import UserError
from rollout.postprocess.export.intervals import difference, interval, mean
from rollout.system.formats import strict_json

LARGE = 1.7e308


@pytest.fixture
def scored(tmp_path, monkeypatch):
    """Score a row for each act with the hostile function; return the command, rows and figures."""
    monkeypatch.chdir(tmp_path)

    def score(acts, *words, samples=2):
        rows = {"acts": [[act] for act in acts], "untouched": ["yes"] * len(acts)}
        rows["responses"] = [[str(i) for i in range(samples)]] * len(acts)
        pq.write_table(pa.table(rows), "in.parquet")
        done = typed(
            POSTPROCESS, "input=in.parquet", "output.path=scored.parquet", "scorer=python",
            f"python.function={FUNCTION}:f", "timeout_s=10", "memory_gib=1", *words,
        )  # fmt: skip
        assert json_faults(tmp_path) == ""
        figures = json.loads((tmp_path / "scored.json").read_text())
        return done, pq.read_table("scored.parquet").to_pylist(), figures

    return score


def test_whatever_a_function_does_its_sample_gets_a_verdict_and_the_others_their_scores(scored):
    """A fork sent marks twice, and a function that closed its files lost other samples' scores.

    The next call got a row that a call had changed, and an exception without text ended the worker.
    """
    acts = [act for act in EXPECTED if act not in SLOW]
    done, rows, _ = scored(acts, "workers=2")
    assert done.code == 0 and "Warning" not in done.err and "Traceback" not in done.err
    for act, row in zip(acts, rows, strict=True):
        wanted = EXPECTED[act]
        score, verdict = (None, wanted) if isinstance(wanted, str) else (wanted, None)
        verdict = verdict or ("right" if score >= 1 else "wrong")
        assert (act, row["scores"], row["verdicts"]) == (act, [score] * 2, [verdict] * 2)


def test_the_figures_of_the_largest_scores_are_finite_and_short(scored):
    """They were `Infinity` in the JSON and 310 digits in the table, and numpy printed warnings."""
    done, _, figures = scored(["huge", "huge", "huge_negative", "one"])
    found = figures["groups"][0]["values"]["mean"]
    assert math.isclose(found["value"], LARGE / 4) and math.isfinite(found["low"])
    assert "4.25e+307" in done.out and max(map(len, done.out.splitlines())) <= 200
    assert done.code == 0 and "Warning" not in done.err


def test_a_score_that_is_not_a_number_is_reported_without_a_traceback(scored):
    done, rows, _ = scored(["inf", "text", "large_int", "one"])
    assert rows[0]["score_errors"][0] == "the function returned inf, not a finite number"
    assert (
        rows[2]["score_errors"][0] == "the function returned a number too large for a score (int)"
    )
    assert "Traceback" not in done.out and "first of its kind" not in done.out


def test_a_scoring_of_errors_alone_fails_and_says_what_they_were(scored):
    done, _, figures = scored(["inf", "nan"])
    assert done.code == 1 and "the function returned inf" in done.err
    assert figures["groups"][0]["values"]["mean"]["value"] is None


@pytest.mark.parametrize("values", [[LARGE] * 3, [LARGE, -LARGE], [LARGE, 1.0, -1.0], [0.5, 1.0]])
def test_means_and_intervals_lie_within_their_values(values):
    with np.errstate(over="raise", invalid="raise"):
        low, high = interval(np.array(values), 0.95, 100, 0) or (mean(values),) * 2
    assert min(values) <= low <= high <= max(values)
    assert min(values) <= mean(values) <= max(values)


def test_the_difference_of_the_largest_scores_is_finite_and_told_apart():
    with np.errstate(over="raise", invalid="raise"):
        found = difference(np.full(8, LARGE), np.full(8, -LARGE), 0.95, 100, 0)
    assert found.is_told_apart and math.isfinite(found.value) and math.isfinite(found.high)


def test_json_has_null_for_numbers_that_are_not_finite_and_text_for_every_key():
    value = {"a": [math.nan, 1.5, (math.inf,)], b"k": 1, -math.inf: 2, 3: None}
    found = json.loads(strict_json.dumps(value), parse_constant=pytest.fail)
    assert found == {"a": [None, 1.5, [None]], "b'k'": 1, "-inf": 2, "3": None}


@pytest.mark.parametrize("value", [math.nan, [1.0, -math.inf], {"x": {"y": math.inf}}])
def test_a_number_that_no_record_could_hold_is_refused_by_its_name(value):
    settings = Settings()
    settings.sampling.extra = {"foo": value}
    with pytest.raises(UserError, match=r"sampling\.extra\.foo.*is not a finite number"):
        validate(settings)

"""One row per prompt or one per sample: the same values, for any rows and any batches."""

import itertools
import tempfile
from pathlib import Path
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout import vllm_rollout
from rollout.errors import UserError
from rollout.rows.columns import COLUMNS, output_columns
from rollout.rows.request import Sample
from rollout.rows.result import Result
from rollout.store import row_layout as layout
from rollout.store.publish import write_output
from rollout.store.shards import Shards

SCRIPTED = {"engine": "scripted", "tracking": "none", "quiet": True, "n_samples": 3}
PROMPTS = ["one", None, "three", "refused", "five"]
LONG = "x" * 300


@pytest.fixture
def run(tmp_path):
    pq.write_table(pa.table({"prompt": PROMPTS, "id": range(5)}), tmp_path / "in.parquet")

    def answer(**more):
        words = SCRIPTED | {"engine.scripted.refuse": "refused"} | more
        words = {"input_parquet": tmp_path / "in.parquet", "run_dir": tmp_path / "run"} | words
        return pq.read_table(vllm_rollout(**words).output_path)

    return answer


def regrouped(table, wanted):
    """Return the values of a per_sample table as rows of the layout of `wanted`."""
    found = []
    for row, samples in itertools.groupby(table.to_pylist(), key=lambda sample: sample["row"]):
        samples = list(samples)
        answered = [sample for sample in samples if sample["sample_index"] is not None]
        assert [sample["sample_index"] for sample in answered] == list(range(len(answered)))
        assert answered in (samples, [])
        one = {"row": row}
        for field in wanted:
            name = "response" if field.name == "responses" else field.name
            if field.name in COLUMNS and COLUMNS[field.name].is_per_sample:
                assert table.schema.field(name).type == field.type.value_type
                one[field.name] = [sample[name] for sample in answered]
            else:
                assert table.schema.field(name).type == field.type
                (one[field.name],) = {repr(s[name]): s[name] for s in samples}.values()
        found.append(one)
    return found


def test_a_row_for_each_sample_has_the_values_of_the_lists(run):
    wanted = run(columns=[*COLUMNS])
    found = run(columns=[*COLUMNS], layout="per_sample")
    assert found.num_rows == 3 * 3 + 2
    assert found.column_names[:5] == ["prompt", "id", "row", "sample_index", "response"]
    rows = [row | {"row": i} for i, row in enumerate(wanted.to_pylist())]
    assert regrouped(found, wanted.schema) == rows


def test_a_failed_row_has_one_row_without_a_sample(run):
    failed = run(layout="per_sample").slice(3, 1).to_pylist()[0]
    assert failed.pop("error")
    assert failed == {
        "prompt": None, "id": 1, "row": 1, "sample_index": None, "response": None,
        "finish_reason": None, "num_response_tokens": None, "num_prompt_tokens": None,
        "is_reasoning_closed": None,
    }  # fmt: skip


def test_failed_rows_may_be_left_out_and_the_others_keep_their_row_number(run):
    found = run(layout="per_sample", on_error="skip")
    assert found["row"].to_pylist() == [0, 0, 0, 2, 2, 2, 4, 4, 4]
    assert found["error"].null_count == 9


def test_the_row_is_counted_in_the_whole_input(run):
    found = run(layout="per_sample", offset=2, limit=2, n_samples=1)
    assert found["row"].to_pylist() == [2, 3]


@pytest.mark.parametrize("name", ["row", "sample_index", "response", "finish_reason"])
def test_a_column_the_input_already_has_is_refused_and_a_prefix_helps(run, tmp_path, name):
    pq.write_table(pa.table({"prompt": ["a"], name: ["mine"]}), tmp_path / "in.parquet")
    with pytest.raises(UserError, match=rf"'{name}' already.*output\.prefix=new_.*new_response,"):
        run(layout="per_sample")
    found = run(layout="per_sample", prefix="new_")
    assert found[name].to_pylist() == ["mine"] * 3
    assert found["new_sample_index"].to_pylist() == [0, 1, 2]


def test_the_input_may_have_a_column_that_only_the_other_layout_adds(run, tmp_path):
    pq.write_table(pa.table({"prompt": ["a"], "response": ["mine"]}), tmp_path / "in.parquet")
    assert run()["response"].to_pylist() == ["mine"]


def test_a_finished_run_is_published_in_the_other_layout_without_an_engine(run):
    wanted = run()
    assert "sample_index" in run(layout="per_sample", **{"engine.scripted.load_s": 60}).column_names
    assert run(**{"engine.scripted.load_s": 60}).equals(wanted)


def test_a_row_for_each_sample_may_be_the_input_of_the_next_run(run, tmp_path):
    run(layout="per_sample", output_parquet=tmp_path / "first.parquet", n_samples=2)
    again = {"input_parquet": tmp_path / "first.parquet", "run_dir": tmp_path / "again"}
    found = run(**again, prefix="then_", layout="per_sample", prompt_key="response", n_samples=1)
    assert found.num_rows == 3 * 2 + 2
    assert found["then_response"].null_count == 2


# Any rows, in any batches.

texts = st.sampled_from(["", "a", "é\n", LONG])
samples = st.builds(
    Sample, texts, st.sampled_from(["stop", "length"]), st.integers(0, 9),
    st.sampled_from([None, "END"]), st.lists(st.integers(0, 9), max_size=3), st.just(-0.5),
)  # fmt: skip
rows = st.lists(
    st.tuples(texts, st.lists(samples, max_size=5), st.sampled_from([None, "too long"])),
    min_size=1, max_size=12,
)  # fmt: skip
KINDS = (
    pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string()),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(rows, st.sampled_from(KINDS), st.integers(1, 4), st.sampled_from([1, 700, 2**25]))
def test_any_rows_cut_anywhere_are_the_same_in_both_layouts(rows, kind, size, piece_bytes):
    prompts = pa.array([text for text, _, _ in rows]).dictionary_encode()
    prompts = prompts.cast(kind) if pa.types.is_dictionary(kind) else prompts.cast(pa.string())
    table = pa.table({"prompt": prompts.cast(kind)})
    results = [
        Result(i, i, bytes(16), has, 7, 3, 0, error) for i, (_, has, error) in enumerate(rows)
    ]
    with tempfile.TemporaryDirectory() as name, patch.object(layout, "PIECE_BYTES", piece_bytes):
        directory = Path(name)
        shards = Shards(directory)
        shards.append(0, results)
        part = shards.read(0)
        columns, found = output_columns([*COLUMNS]), {}
        for per_sample in (False, True):
            path = directory / f"{per_sample}.parquet"
            batches = table.to_batches(max_chunksize=size)
            write_output(path, batches, table.schema, [part], columns, per_sample=per_sample)
            found[per_sample] = pq.read_table(path)
    wanted = [row | {"row": i} for i, row in enumerate(found[False].to_pylist())]
    assert regrouped(found[True], found[False].schema) == wanted


def test_a_long_prompt_repeated_often_is_written_a_piece_at_a_time(tmp_path):
    prompt, num_samples = "x" * 2**20, 200
    table = pa.table({"prompt": [prompt]})
    shards = Shards(tmp_path)
    shards.append(0, [Result(0, 0, bytes(16), [Sample("a", "stop", 1)] * num_samples)])
    part, columns = shards.read(0), output_columns([])
    names = layout.added_names(columns, True)
    fields = map(pa.field, names, layout.added_types(columns, True))
    pieces = layout.shaped(table, part, columns, pa.schema([*table.schema, *fields]), True)
    sizes = [(piece.num_rows, piece.nbytes) for piece in pieces]
    assert sum(num_rows for num_rows, _ in sizes) == num_samples
    assert max(num_bytes for _, num_bytes in sizes) < 1.1 * layout.PIECE_BYTES

"""Whole commands on an S3 server: everything that may be a path may be s3://."""

import json
import os
import re
import signal

import pyarrow.parquet as pq
import pytest
from processes import rollout, start, wait_for

SCRIPTED = ("engine=scripted", "tracking=none", "sampling.n_samples=2")
TEXTS = [f"prompt {i}" for i in range(40)]
DENIED = ("403 Forbidden", "AccessDenied")


@pytest.fixture
def source(bucket):
    return bucket.put_rows("in/a.parquet", prompt=TEXTS, answer=[str(i) for i in range(40)])


def is_put_to(bucket, key):
    """Return the test of a request that writes the object, or begins to."""
    path = f"/{bucket.name}/{key}"
    return lambda request: (
        request["PATH_INFO"] == path
        and request["REQUEST_METHOD"]
        in (
            "PUT",
            "POST",
        )
    )


def responses(rows):
    return [row["responses"] for row in rows]


def test_a_run_from_store_to_store_is_the_run_from_disk_to_disk(bucket, source, typed):
    typed(f"data.input={source}", f"output.path={bucket / 'out.parquet'}", "run_dir=r", *SCRIPTED)
    assert typed.code == 0, typed.errors
    (typed.here / "in.parquet").write_bytes(bucket.get("in/a.parquet"))
    typed("data.input=in.parquet", "output.path=out.parquet", "run_dir=q", *SCRIPTED)
    assert pq.read_table(typed.here / "out.parquet").to_pylist() == bucket.rows("out.parquet")


def test_a_finished_run_is_finished_also_by_its_directory_alone(bucket, source, typed):
    words = (f"data.input={source}", f"output.path={bucket / 'out.parquet'}", "run_dir=r")
    typed(*words, *SCRIPTED)
    for again in (words + SCRIPTED, ("run_dir=r",)):
        assert "finished already: 40 rows" in typed(*again).out


@pytest.mark.parametrize("given", ["in/*.parquet", "in/", "in", "**/[ab].parquet"])
def test_globs_and_directories_are_read_in_order_of_names(bucket, source, typed, given):
    bucket.put_rows("in/b.parquet", prompt=["last"], answer=["x"])
    bucket.put("in/notes.txt", b"no rows")
    typed(f"data.input={bucket / given}", "output.path=out.parquet", "run_dir=r", *SCRIPTED)
    assert typed.code == 0, typed.errors
    assert pq.read_table(typed.here / "out.parquet")["prompt"].to_pylist() == [*TEXTS, "last"]


def test_only_the_prompt_column_is_fetched_to_sample(bucket, typed):
    images = [os.urandom(20_000) for _ in TEXTS]
    given = bucket.put_rows("wide.parquet", prompt=TEXTS, image=images)
    bucket.server.requests.clear()
    typed("dry_run=true", f"data.input={given}", "run_dir=r", *SCRIPTED)
    fetched = sum(size for _, path, size in bucket.server.requests if path.endswith("wide.parquet"))
    assert typed.code == 0 and fetched < 0.2 * len(bucket.get("wide.parquet"))


def test_a_killed_run_keeps_its_rows_and_resumes_by_its_directory(bucket, source, tmp_path):
    words = (f"data.input={source}", f"output.path={bucket / 'out.parquet'}", "run_dir=r")
    slow = ("engine.scripted.step_s=0.05", "engine.max_num_seqs=4", *SCRIPTED)
    run = start(*words, *slow, cwd=tmp_path)
    logs = (tmp_path / "r/shards").glob
    wait_for(lambda: any(log.stat().st_size > 1000 for log in logs("*.log")), timeout_s=100)
    run.send_signal(signal.SIGKILL)
    run.communicate()
    assert bucket.names() == ["in/a.parquet"]
    done = rollout("run_dir=r", "engine.scripted.step_s=0", cwd=tmp_path)
    kept = int(re.search(r"resuming: (\d+) of 40 rows done", done.stderr)[1])
    assert kept > 0 and len(bucket.rows("out.parquet")) == 40


def test_a_kill_during_the_upload_leaves_no_object_and_the_rows(bucket, source, tmp_path):
    words = (f"data.input={source}", f"output.path={bucket / 'out.parquet'}", "run_dir=r")
    is_put, processes = is_put_to(bucket, "out.parquet"), []

    def kill(request):
        if is_put(request):
            processes[0].kill()
            return "500 Internal Server Error", "InternalError"
        return None

    bucket.server.answers = kill
    processes.append(start(*words, *SCRIPTED, cwd=tmp_path))
    processes[0].communicate()
    bucket.server.answers = lambda request: None
    assert bucket.names() == ["in/a.parquet"]
    done = rollout("run_dir=r", cwd=tmp_path)
    assert "published again" in done.stdout and len(bucket.rows("out.parquet")) == 40
    assert not list((tmp_path / "r").glob(".*.tmp"))


def test_a_kill_right_after_the_upload_leaves_an_object_that_is_the_runs(bucket, source, tmp_path):
    words = (f"data.input={source}", f"output.path={bucket / 'out.parquet'}", "run_dir=r")
    assert rollout(*words, *SCRIPTED, cwd=tmp_path).returncode == 0
    written = json.loads((tmp_path / "r/written.json").read_text())
    del written["files"][bucket / "out.parquet"]["stamp"]  # it is recorded after the upload
    (tmp_path / "r/written.json").write_text(json.dumps(written))
    (tmp_path / "r/summary.json").unlink()
    assert rollout("run_dir=r", cwd=tmp_path).returncode == 0


def test_a_refused_upload_says_why_and_keeps_the_rows(bucket, source, typed):
    is_put = is_put_to(bucket, "out.parquet")
    bucket.server.answers = lambda request: DENIED if is_put(request) else None
    words = (f"data.input={source}", f"output.path={bucket / 'out.parquet'}", "run_dir=r")
    typed(*words, *SCRIPTED)
    assert typed.code == 1 and "access is denied" in typed.errors[0], typed.errors
    assert "to resume: " in typed.errors[0]
    bucket.server.answers = lambda request: None
    assert "published again" in typed("run_dir=r").out


def test_an_object_of_someone_else_is_never_replaced(bucket, source, typed):
    bucket.put_rows("out.parquet", mine=[1])
    words = (f"data.input={source}", f"output.path={bucket / 'out.parquet'}", "run_dir=r")
    assert "already exists" in typed.refused(*words, *SCRIPTED)
    typed(*words, *SCRIPTED, "output.overwrite=true")
    assert typed.code == 0 and len(bucket.rows("out.parquet")) == 40
    bucket.put_rows("out.parquet", mine=[1])
    typed(*words, *SCRIPTED)
    assert typed.code == 2 and "is not as this run wrote it" in typed.errors[0]


def test_an_object_that_appears_during_the_run_stays(bucket, source, typed):
    target = bucket / "out.parquet"
    words = (f"data.input={source}", f"output.path={target}", "run_dir=r")
    asked = []

    def appear(request):
        if request["PATH_INFO"].endswith("in/a.parquet") and "HTTP_RANGE" in request:
            asked.append(request)
            if len(asked) == 12:  # the rows are being read
                bucket.put_rows("out.parquet", mine=[1])

    bucket.server.answers = appear
    typed(*words, *SCRIPTED)
    assert len(asked) >= 12
    assert typed.code == 1 and "was written by another process" in typed.errors[0], typed.errors
    assert bucket.rows("out.parquet") == [{"mine": 1}]


def test_an_input_that_another_program_replaces_is_noticed(bucket, source, typed):
    words = (f"data.input={source}", f"output.path={bucket / 'out.parquet'}", "run_dir=r")
    typed(*words, *SCRIPTED)
    bucket.put_rows("in/a.parquet", prompt=["other", *TEXTS[1:]], answer=["0"] * 40)
    assert "row 0" in typed(*words, *SCRIPTED).errors[0] and typed.code == 2


def test_an_input_may_grow(bucket, source, typed):
    words = (f"data.input={source}", f"output.path={bucket / 'out.parquet'}", "run_dir=r")
    typed(*words, *SCRIPTED)
    bucket.put_rows("in/a.parquet", prompt=[*TEXTS, "new"], answer=["0"] * 41)
    typed("run_dir=r")
    assert typed.code == 0 and len(bucket.rows("out.parquet")) == 41, typed.errors


def test_a_directory_of_files_ends_with_its_mark(bucket, source, typed):
    words = (f"data.input={source}", f"output.path={bucket / 'out'}", "run_dir=r")
    typed(*words, *SCRIPTED, "output.partition_rows=15")
    assert typed.code == 0, typed.errors
    parts = [f"out/part-0000{i}.parquet" for i in range(3)]
    assert bucket.names() == ["in/a.parquet", "out/_SUCCESS", *parts]
    assert "finished already" in typed("run_dir=r").out
    typed(*words, *SCRIPTED, "output.partition_rows=30")
    assert bucket.names() == ["in/a.parquet", "out/_SUCCESS", *parts[:2]]
    typed(f"data.input={bucket / 'out'}", "run_dir=q", *SCRIPTED, "output.prefix=new_")
    assert typed.code == 0, typed.errors


def test_a_directory_whose_upload_failed_is_published_again(bucket, source, typed):
    words = (f"data.input={source}", f"output.path={bucket / 'out'}", "run_dir=r")
    is_put = is_put_to(bucket, "out/part-00001.parquet")
    bucket.server.answers = lambda request: DENIED if is_put(request) else None
    typed(*words, *SCRIPTED, "output.partition_rows=15")
    assert typed.code == 1 and bucket.names() == ["in/a.parquet"]
    bucket.server.answers = lambda request: None
    assert "published again" in typed("run_dir=r").out


def test_a_kill_between_two_files_of_a_directory_is_resumed(bucket, source, tmp_path):
    words = (f"data.input={source}", f"output.path={bucket / 'out'}", "run_dir=r")
    is_put, processes = is_put_to(bucket, "out/part-00001.parquet"), []
    bucket.server.answers = lambda request: processes[0].kill() if is_put(request) else None
    processes.append(start(*words, *SCRIPTED, "output.partition_rows=15", cwd=tmp_path))
    processes[0].communicate()
    bucket.server.answers = lambda request: None
    assert "out/_SUCCESS" not in bucket.names() and "out/part-00000.parquet" in bucket.names()
    done = rollout("run_dir=r", cwd=tmp_path)
    assert done.returncode == 0 and "out/_SUCCESS" in bucket.names(), done.stderr


def test_a_directory_with_a_file_of_the_user_is_never_replaced(bucket, source, typed):
    bucket.put("out/mine.txt", b"mine")
    words = (f"data.input={source}", f"output.path={bucket / 'out'}", "output.overwrite=true")
    refusal = typed.refused(*words, "output.partition_rows=15", *SCRIPTED)
    assert "holds mine.txt" in refusal


def test_two_points_of_a_sweep_may_not_share_an_object(bucket, source, typed):
    words = ("-m", f"data.input={source}", "sampling.seed=1,2", "run_dir=s", *SCRIPTED)
    assert "is the same for the points" in typed.refused(*words, f"output.path={bucket / 'o'}")
    typed(*words, "output.path=" + (bucket / "sweep/${sampling.seed}.parquet"))
    assert typed.code == 0, typed.errors
    assert bucket.names() == ["in/a.parquet", "sweep/1.parquet", "sweep/2.parquet"]


def test_a_run_prepares_scores_and_exports_on_the_store(bucket, typed):
    lines = "\n".join(json.dumps({"q": f"{i} + 1", "answer": str(i + 1)}) for i in range(30))
    source = bucket.put("problems.jsonl", lines.encode())
    template = bucket.put("t.jinja", b"What is {{ q }}?")
    typed(
        f"prepare.source={source}", f"prepare.template={template}", *SCRIPTED, "run_dir=r",
        f"prepare.output.path={bucket / 'p.parquet'}", f"output.path={bucket / 'out.parquet'}",
        "postprocess.scorer=exact", f"postprocess.output.path={bucket / 's.parquet'}",
        "postprocess.export.format=grpo", f"postprocess.export.path={bucket / 'train.parquet'}",
    )  # fmt: skip
    assert typed.code == 0, typed.errors
    made = ["out.parquet", "p.parquet", "problems.jsonl", "s.json", "s.parquet", "t.jinja"]
    assert bucket.names() == [*made, "train.parquet"]
    assert bucket.rows("p.parquet")[0]["prompt"][0]["content"] == "What is 0 + 1?"
    assert "finished already" in typed("run_dir=r").out


def test_prepared_prompts_are_made_again_when_their_source_changes(bucket, typed):
    source = bucket.put("a.jsonl", b'{"q": "one"}\n')
    words = (f"prepare.source={source}", "prepare.prompt_column=q", "run_dir=r", *SCRIPTED)
    typed(*words)
    assert "finished already" in typed(*words).out
    bucket.put("a.jsonl", b'{"q": "two"}\n')
    typed(*words)
    assert "finished already" not in typed.out


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("no.parquet", "does not exist"),
        ("in/b.parquet", "Did you mean 'a.parquet'?"),
        ("in/*.json", "matches no file"),
        ("none/", "does not exist"),
        ("in//a.parquet", "a part of the name is empty"),
        ("in/t.csv", "it looks like"),
    ],
)
def test_an_input_that_can_not_be_read_is_refused_in_one_line(bucket, source, typed, key, why):
    bucket.put("in/t.csv", b"prompt,x\nHi,1\n")
    assert why in typed.refused(f"data.input={bucket / key}", *SCRIPTED)


@pytest.mark.parametrize("setting", ["data.input", "output.path"])
def test_a_bucket_that_does_not_exist_is_refused(bucket, source, typed, setting):
    words = [f"data.input={source}"] if setting != "data.input" else []
    refusal = typed.refused(*words, f"{setting}=s3://no-such-bucket/x.parquet", *SCRIPTED)
    assert "there is no bucket 'no-such-bucket'" in refusal


def test_refused_credentials_are_said_and_never_shown(bucket, source, typed, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush-hush-hush")
    bucket.server.answers = lambda request: DENIED
    refusal = typed.refused(f"data.input={source}", *SCRIPTED)
    assert "access is denied" in refusal and "AWS_PROFILE" in refusal
    assert "hush" not in refusal


def test_a_server_that_does_not_answer_is_refused_within_seconds(source, typed, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    refusal = typed.refused(f"data.input={source}", *SCRIPTED)
    assert "can't be reached" in refusal and "AWS_ENDPOINT_URL" in refusal


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("az://c/x.parquet", "pip install adlfs"),
        ("nowhere://c/x.parquet", "nowhere:// is not known"),
        ("s3://key:secret@b/x.parquet", "must not hold credentials"),
    ],
)
def test_a_store_without_its_library_is_refused(source, typed, url, why):
    for words in ([f"data.input={url}"], [f"data.input={source}", f"output.path={url}"]):
        refusal = typed.refused(*words, *SCRIPTED)
        assert why in refusal and "secret" not in refusal


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["run_dir=s3://b/run"], "type a run_dir= on a disk, and output.path= on the store"),
        (["-m", "sampling.seed=1,2", "run_dir=s3://b/run"], "type a run_dir= on a disk"),
    ],
)
def test_a_run_directory_on_a_store_is_refused(source, typed, words, why):
    assert why in typed.refused(f"data.input={source}", *words, *SCRIPTED)


def test_a_model_on_a_store_is_refused(source, typed):
    words = (f"data.input={source}", "model=custom", "model.model_path=s3://b/m", "engine=cpu")
    assert "download the directory, and type its path" in typed.refused(*words)


def test_a_function_on_a_store_is_refused(source, typed):
    words = ("postprocess.scorer=python", "postprocess.python.function=s3://b/f.py:score")
    assert "download the file" in typed.refused(f"data.input={source}", *words, *SCRIPTED)


def test_an_output_among_the_inputs_is_refused(bucket, source, typed):
    words = (f"data.input={bucket / 'in/*.parquet'}", *SCRIPTED)
    assert "is the input itself" in typed.refused(*words, f"output.path={source}")
    among = typed.refused(*words, f"output.path={bucket / 'in/out.parquet'}")
    assert "lies among the input files" in among


def test_schemas_and_templates_may_be_on_the_store(bucket, source, typed):
    schema = bucket.put("schema.json", b'{"type": "array"}')
    template = bucket.put("t.jinja", b"Q: {{ prompt }}")
    structured = f"sampling.structured_outputs.json={schema}"
    words = (f"data.input={source}", f"data.template={template}", structured, "run_dir=r")
    config = bucket.put("c.yaml", b"sampling: {n_samples: 2}\nengine: {backend: scripted}\n")
    typed(*words, f"config_file={config}", "engine=scripted", "tracking=none")
    assert typed.code == 0, typed.errors
    record = json.loads((typed.here / "r/run.json").read_text())
    assert "array" in str(record["config"]["sampling"]["structured_outputs"])
    assert "Q: prompt 0" in typed.out

"""The runs that kill_points.py drills, on the scripted engine: new, extended, moved, scored."""

from drilled_run import Story

SCRIPTED = ("engine=scripted", "engine.max_num_seqs=16", "sampling.n_samples=2")
SMALL_SHARDS = "sampling.max_tokens=262144"  # 32 rows each
SLOW = "engine.scripted.step_s=0.002"
SCORED = (
    *SCRIPTED, SMALL_SHARDS, "postprocess.scorer=python", "postprocess.workers=1",
    "postprocess.python.function=scorer.py:score", "postprocess.export.format=sft",
    "postprocess.select.min_pass_rate=0",
)  # fmt: skip
ELSEWHERE = (
    "postprocess.output.path=out/s.parquet", "postprocess.export.path=out/t.parquet",
)  # fmt: skip

STORIES = (
    Story("new", (*SCRIPTED, SMALL_SHARDS), weight=3),
    Story(
        "grown",
        (*SCRIPTED, SMALL_SHARDS, "retry_failed=true"),
        (*SCRIPTED, SMALL_SHARDS, "sampling.n_samples=1", "data.limit=300",
         "engine.scripted.refuse='question 7'"),
    ),
    Story(
        "continued",
        (*SCRIPTED, "sampling.max_tokens=20", "continue_truncated=true"),
        (*SCRIPTED, "sampling.max_tokens=10"),
    ),
    Story(
        "elsewhere",
        (*SCRIPTED, SMALL_SHARDS, "output.path=out/there.parquet", "data.on_error=skip"),
        output="out/there.parquet",
    ),
    Story(
        "replaced",
        (*SCRIPTED, SMALL_SHARDS, "output.path=out/there.parquet"),
        (*SCRIPTED, SMALL_SHARDS, "output.path=out/there.parquet", "sampling.n_samples=1"),
        output="out/there.parquet",
    ),
    Story(
        "files",
        (*SCRIPTED, SMALL_SHARDS, "output.partition_rows=90"),
        (*SCRIPTED, SMALL_SHARDS, "output.partition_rows=90", "sampling.n_samples=1"),
        output="run/output",
    ),
    Story(
        "scored",
        SCORED,
        weight=3,
        also=("run/scored.parquet", "run/scored.json", "run/scored.errors.jsonl",
              "run/train.parquet"),
    ),
    Story(
        "rescored",
        (*SCORED, *ELSEWHERE),
        (*SCORED, *ELSEWHERE, "sampling.n_samples=1"),
        weight=2,
        also=("out/s.parquet", "out/s.json", "out/s.errors.jsonl", "out/t.parquet"),
    ),
)  # fmt: skip

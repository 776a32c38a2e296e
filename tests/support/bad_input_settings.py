"""Impossible settings and places, typed with a good input."""

from bad_input import NAME, TEXTS, both, fifo, good, link, made, table
from bad_input_cases import refused, typed_so

SETTINGS = {
    "an offset beyond the end": typed_so("data.offset=2", "leaves no rows: the input has 2"),
    "a limit of 0": typed_so("data.limit=0", "data.limit=0 is out of range: at least 1"),
    "a limit below 0": typed_so("data.limit=-1", "data.limit=-1 is out of range: at least 1"),
    "a shuffle of all rows": typed_so("data.shuffle_seed=1", "add data.limit=N or leave it out"),
    "a temperature of nan": typed_so("sampling.temperature=nan", "temperature=nan", "at least 0"),
    "a top_p of 0": typed_so("sampling.top_p=0", "above 0 and at most 1"),
    "no samples": typed_so("sampling.n_samples=0", "at least 1 and at most 16384"),
    "a million samples": typed_so("sampling.n_samples=1000000", "at most 16384"),
    "a word for a number": typed_so("sampling.temperature=hot", "hot is not float or null"),
    "a key that does not exist": typed_so("sampling.temprature=1", "'sampling.temperature'?"),
    "a key without a value": typed_so("sampling.seed", "type sampling.seed=..."),
    "a dashed key": typed_so("--n_samples=4", "type sampling.n_samples=4"),
    "a choice that does not exist": typed_so("data.on_error=ignore", "record|skip|fail"),
    "an output column that does not exist": typed_so(
        "output.columns=[seeds]", "Did you mean 'seed'?"
    ),
    "an output column twice": typed_so("output.columns=[seed,seed]", "names 'seed' twice"),
    "an output column without brackets": typed_so("output.columns=seed", "=[seed]"),
    "a bracket left open": typed_so("output.columns=[seed", "type output.columns=[seed] "),
    "brackets left open": typed_so("engine.extra={a:[1", "type engine.extra={a:[1]} "),
    "a list with a space, without quotes": typed_so(
        "output.columns=[seed,\nerror,\ntoken_ids]",
        "type 'output.columns=[seed, error, tok",
    ),
    "an empty run_dir": typed_so("run_dir=", "type run_dir=DIRECTORY"),
}
DEEP = "x" * 300
PLACES = {
    "an output that is a directory": typed_so(
        "output.path=out", "type a file in it", build=made(NAME, "out/")
    ),
    "an output that is the input": typed_so(
        f"output.path={NAME}\noutput.overwrite=true", "the input itself; type another output.path="
    ),
    "an output that is the input by another way": typed_so(
        f"output.path=sub/../{NAME}\noutput.overwrite=true", "the input itself",
        build=made(NAME, "sub/"),
    ),
    "an output that links to the input": typed_so(
        "output.path=out.parquet\noutput.overwrite=true", "the input itself",
        build=both(good, link("out.parquet", NAME)),
    ),
    "an output among the input files": refused(
        made("data/a.parquet"), "lies among the input files", "elsewhere",
        words=("data.input=data", "output.path=data/out.parquet"),
    ),
    "a run_dir among the input files": refused(
        made("data/a.parquet"), "lies among the input files",
        words=("data.input=data", "run_dir=data"),
    ),
    "an output that exists": typed_so(
        "output.path=out.parquet", "or output.overwrite=true", build=made(NAME, "out.parquet")
    ),
    "an output under a file": typed_so(
        f"output.path={NAME}/out.parquet", "can't write in", "type another output.path="
    ),
    "an output named as CSV": typed_so("output.path=out.csv", "type a name ending in .parquet"),
    "an output name that is too long": typed_so(f"output.path={DEEP}", "too long"),
    "an output name longer than the output may be": typed_so(
        f"output.path={DEEP[:240]}", "type a shorter one"
    ),
    "an output that is a pipe": typed_so(
        "output.path=pipe\noutput.overwrite=true", "type a name ending in .parquet",
        build=both(good, fifo("pipe")),
    ),
    "an output that is the run directory": typed_so(
        "output.path=run\nrun_dir=run", "type another output.path="
    ),
    "an output over the run's own record": typed_so(
        "output.path=run/shards\nrun_dir=run", "type another output.path="
    ),
    "a run_dir that is a file": typed_so(f"run_dir={NAME}", "is a file; type another run_dir="),
    "a run_dir inside a file": typed_so(f"run_dir={NAME}/run", "type another run_dir="),
    "a run_dir inside a file, with an output elsewhere": typed_so(
        f"run_dir={NAME}/run\noutput.path=out.parquet", "run_dir=", "type another run_dir="
    ),
    "a run_dir that leads nowhere": typed_so(
        "run_dir=run", "type another run_dir=", build=both(good, link("run", "gone/on"))
    ),
    "a run_dir among links in a circle": typed_so(
        "run_dir=run", "type another run_dir=", build=both(good, link("run", "run"))
    ),
    "an output among links in a circle": typed_so(
            "output.path=out.parquet", "type another output.path=",
            build=both(good, link("out.parquet", "out.parquet")),
        ),
    "a prefix under which the names are taken": typed_so(
            "output.prefix=new_", "'new_responses' already", "type output.prefix=newer_",
            build=table({"prompt": TEXTS, "new_responses": TEXTS}),
        ),
}  # fmt: skip

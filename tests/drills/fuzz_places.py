"""Output paths: no file of the user's is ever lost, whatever path is typed.

Expected (docs/output.md): an existing file is never replaced unless overwrite=true is typed for it;
the input and the records of a run never are. A case types the path of one of the user's files, by
one of its names, for one of the outputs of a command, with overwrite=true or without. Sometimes a
file appears there while the command runs. Whatever the command reports, every file that was there
before must be unchanged, except a parquet file that overwrite=true was typed for.
"""

import os
import random
import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from fuzz import Outcome
from in_process import fault_of, run

SCRIPTED = ("engine=scripted", "tracking=none", "sampling.n_samples=2")
SCORER = (
    "def score(response, row):\n    return float(len(response) % 2)\n\n\n"
    "def slow(response, row):\n    import time\n\n    time.sleep(0.05)\n    return 1.0\n"
)
# Which key of a run writes which file, and what else is typed for it.
OUTPUTS = {
    "output.path": (),
    "postprocess.output.path": ("postprocess.scorer=python",),
    "postprocess.export.path": ("postprocess.scorer=python", "postprocess.export.format=sft"),
    "prepare.output.path": (),
}


def case(rng: random.Random, directory: Path) -> Outcome:
    (directory / "scorer.py").write_text(SCORER)
    rows = {
        "prompt": [f"question {i}" for i in range(4)],
        "answer": ["1"] * 4,
        "mine": list("abcd"),
    }
    for name in ("in.parquet", "mine.parquet", "many/a.parquet", "many/b.parquet"):
        (directory / name).parent.mkdir(exist_ok=True)
        pq.write_table(pa.table(rows), directory / name)
    (directory / "source.jsonl").write_text('{"q": "what"}\n{"q": "why"}\n')
    (directory / "notes.json").write_text('{"my": "notes"}\n')
    (directory / "template.jinja").write_text("Say {{ prompt }}")
    first = run("rollout", ["data.input=in.parquet", "run_dir=other", *SCRIPTED])
    if first.code != 0:
        return Outcome("broke", first.err)
    inputs = ("in.parquet", "many", "many/*.parquet")
    if rng.random() < 0.4:  # the run itself is finished already
        inputs = inputs[:1]
        run("rollout", ["data.input=in.parquet", "run_dir=run", *SCRIPTED])

    key = rng.choice(list(OUTPUTS))
    standing = sorted(p for p in directory.rglob("*") if p.is_file() and p.name[0] != ".")
    free = [directory / name for name in ("free.parquet", "many/c.parquet", "new/d.parquet")]
    tables = [path for path in standing if path.suffix == ".parquet"]
    prey = rng.choice(rng.choices((free, tables, standing), (2, 3, 1))[0])
    overwrites = rng.random() < 0.6
    typed = alias(rng, prey, directory)
    words = [f"{key}={typed}", *OUTPUTS[key], "run_dir=run", *SCRIPTED]
    if overwrites:
        words.append(f"{key.removesuffix('path')}overwrite=true")
    if key == "prepare.output.path":
        words += ["prepare.source=source.jsonl", "prepare.prompt_column=q"]
    else:
        words += [f"data.input={rng.choice(inputs)}"]
        words += ["data.template=template.jinja"] * (rng.random() < 0.3)
    appears = not prey.exists() and rng.random() < 0.7
    function = "slow" if appears else "score"
    if "postprocess.scorer=python" in words:
        words.append(f"postprocess.python.function=scorer.py:{function}")
    if appears:
        words.append("engine.scripted.step_s=0.05")

    before = {path: path.read_bytes() for path in standing}
    started = threading.Event()
    if appears:
        thread = threading.Thread(target=appear, args=(directory / "run", prey, started))
        thread.start()
    said = run("rollout", words, limit_s=120)
    if appears:
        started.set()
        thread.join()
    if fault := fault_of("rollout", said, (0, 1, 2), one_line=False):
        return Outcome("fault", f"{' '.join(words)}: {fault}")
    lost = [path for path in before if not path.is_file() or path.read_bytes() != before[path]]
    lost = [path for path in lost if not is_run_s_own(path, directory)]
    named = overwrites and prey.suffix == ".parquet" and not is_read(prey, words, directory)
    is_record = any(name in prey.parts for name in ("shards", "attempts"))
    if named and not is_record:
        lost = [path for path in lost if path != prey]
    if lost:
        return Outcome("lost", f"{' '.join(words)}: exit {said.code}, and {lost} is not as it was")
    if appears and (directory / APPEARED).exists() and not overwrites:
        if prey.read_bytes() != MINE:
            return Outcome("lost", f"{' '.join(words)}: what appeared was replaced")
        if said.code == 0:
            return Outcome("lost", f"{' '.join(words)}: exit 0 without its file")
    return Outcome(("refused", "failed")[said.code == 1] if said.code else "done")


MINE, APPEARED = b"mine, and it came in between", "appeared"


def appear(run_dir: Path, path: Path, over: threading.Event) -> None:
    """Put a file of the user's at `path` once the run has begun, if nothing is there yet."""
    while not (run_dir / "run.json").exists() and not over.is_set():
        time.sleep(0.001)
    if over.is_set():
        return
    try:
        with path.open("xb") as file:
            file.write(MINE)
    except OSError:
        return
    (run_dir.parent / APPEARED).touch()


def alias(rng: random.Random, path: Path, directory: Path) -> str:
    """Return one of the names by which a file may be typed."""
    way = rng.choice(("plain", "absolute", "dots", "linked directory", "link", "hard link"))
    inside = path.relative_to(directory)
    if way == "absolute":
        return str(path)
    if way == "dots":
        return f"{inside.parent}/../{inside.parent.absolute().name}/{inside.name}"
    if way == "linked directory":
        path.parent.mkdir(exist_ok=True)
        (directory / "linked").symlink_to(path.parent)
        return f"linked/{path.name}"
    if way == "link":
        (directory / "link.parquet").symlink_to(path)
        return "link.parquet"
    if way == "hard link" and path.exists():
        os.link(path, directory / "hard.parquet")
        return "hard.parquet"
    return str(inside)


def is_read(path: Path, words: list[str], directory: Path) -> bool:
    """Return whether the command reads the file as its input."""
    inputs = [word.partition("=")[2] for word in words if word.startswith("data.input=")]
    return any(
        path == directory / given or path.parent == directory / given.removesuffix("/*.parquet")
        for given in inputs
    )


def is_run_s_own(path: Path, directory: Path) -> bool:
    """Return whether the launched run may change the file, because it is one of its records."""
    return path.is_relative_to(directory / "run") and "shards" not in path.parts

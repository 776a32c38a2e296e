"""Finished runs: no stale result is served, and what is finished is not generated again.

A run with prompts, scores and an export is finished. Then one thing is changed, sometimes with its
size and times kept, and the same command is typed again. Expected (docs/resume.md): a finished run
answers at once. Otherwise it publishes what a fresh run would publish now, or is refused and says
why.
"""

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from fuzz import Outcome
from in_process import Done, fault_of, run

NUM_ROWS = 12
FILES = ("output.parquet", "scored.parquet", "scored.json", "train.parquet")
COMMON = ("engine=scripted", "tracking=none", "sampling.n_samples=3", "sampling.max_tokens=262144")
SCORED = (
    "postprocess.scorer=python", "postprocess.python.function=scorer.py:score",
    "postprocess.export.format=sft", "postprocess.select.min_pass_rate=0",
)  # fmt: skip
PREPARED = ("prepare.source=source.jsonl", "prepare.template=template.jinja")
AGAIN, ANEW, REFUSED = "finished already", "made anew", "refused"


def case(rng: random.Random, directory: Path) -> Outcome:
    write_all(directory)
    prepares = rng.random() < 0.4
    source = PREPARED if prepares else ("data.input=in.parquet",)
    limit = rng.choice((None, 8))
    words = [*source, *COMMON, *SCORED, *([f"data.limit={limit}"] if limit else [])]
    first = run("rollout", [*words, "run_dir=run"], limit_s=120)
    if first.code != 0:
        return Outcome("broke", f"{words}: {first.err}")
    changes = CHANGES | (OF_SOURCE if prepares else OF_INPUT)
    name = rng.choice(list(changes))
    before = published(directory / "run")
    more, wanted = changes[name](rng, directory, words)
    said = run("rollout", [*more, "run_dir=run"], limit_s=120)
    what = f"{' '.join(words)}; {name}; {' '.join(w for w in more if w not in words)}"
    return judged(directory, name, what, more, wanted, before, said)


def judged(
    directory: Path, name: str, what: str, words: list[str], wanted: str, before: dict, said: Done
) -> Outcome:
    if fault := fault_of("rollout", said, (0, 1, 2), one_line=False):
        return Outcome("fault", f"{what}: {fault}")
    seen = AGAIN if "finished already" in said.out else ANEW if said.code == 0 else REFUSED
    if seen not in wanted.split(" or "):
        return Outcome("fault", f"{what}: {wanted} was expected, seen {seen}: {said.err[-500:]}")
    now = published(directory / "run")
    if seen == REFUSED:
        return Outcome(f"{name}: {seen}")
    if seen == AGAIN and now != before:
        return Outcome("fault", f"{what}: {seen}, and the files are others")
    fresh = run("rollout", [*words, "run_dir=fresh"], limit_s=120)
    if fresh.code != 0:
        return Outcome("broke", f"{what}: fresh: {fresh.err}")
    differ = [n for n, table in published(directory / "fresh").items() if now.get(n) != table]
    if differ:
        return Outcome("stale", f"{what}: {seen}, and {differ} is not what a fresh run publishes")
    return Outcome(f"{name}: {seen}")


def published(run_dir: Path) -> dict:
    """Return what a user reads of a run; None for a file that cannot be read."""
    found = {}
    for name in FILES:
        path = run_dir / name
        try:
            is_json = path.suffix == ".json"
            text = path.read_text().replace(str(run_dir), "RUN") if is_json else ""
            found[name] = json.loads(text) if is_json else pq.read_table(path)
        except (OSError, ValueError):
            found[name] = None
    return found


def write_all(directory: Path) -> None:
    questions = [f"question {i}" for i in range(NUM_ROWS)]
    table = pa.table({"prompt": questions, "answer": [f"label {i:02}" for i in range(NUM_ROWS)]})
    plain = {"compression": "none", "use_dictionary": False, "write_statistics": False}
    pq.write_table(table, directory / "in.parquet", **plain)
    lines = [json.dumps({"q": q, "answer": f"label {i:02}"}) for i, q in enumerate(questions)]
    (directory / "source.jsonl").write_text("\n".join(lines) + "\n")
    (directory / "template.jinja").write_text("Say {{ q }} now")
    (directory / "scorer.py").write_text(
        "import table\n\n\n"
        "def score(response, row):\n"
        "    return float((len(response) + len(row['answer'])) % 2 == table.KEY)\n"
    )
    (directory / "table.py").write_text("KEY = 0\n")


def edited(path: Path, old: bytes, new: bytes, keeps_times: bool) -> None:
    """Replace a file's contents in place: same inode and size, and sometimes the same times."""
    assert len(old) == len(new)
    data, status = path.read_bytes(), path.stat()
    assert old in data, (path, old)
    with path.open("rb+") as file:
        file.write(data.replace(old, new, 1))
    if keeps_times:
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


Change = Callable[[random.Random, Path, list[str]], tuple[list[str], str]]


def edits(name: str, old: bytes, new: bytes, wanted: str) -> Change:
    def change(rng: random.Random, directory: Path, words: list[str]) -> tuple[list[str], str]:
        edited(directory / name, old, new, keeps_times=rng.random() < 0.7)
        return words, wanted

    return change


def nothing(rng, directory, words):
    return words, AGAIN


def touched(rng, directory, words):
    for path in [*directory.glob("*.*"), *(directory / "run").glob("*.parquet")]:
        path.touch()
    return words, AGAIN


def a_bit_flipped(rng, directory, words):
    path = directory / "run" / rng.choice(FILES)
    data, status = bytearray(path.read_bytes()), path.stat()
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    with path.open("rb+") as file:
        file.write(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    return words, REFUSED


def mine_instead(rng, directory, words):
    path = directory / "run" / rng.choice(FILES)
    shutil.copy(directory / "in.parquet", path)
    return words, REFUSED


def removed(rng, directory, words):
    (directory / "run" / rng.choice(FILES)).unlink()
    return words, ANEW


def without_shards(rng, directory, words):
    shutil.rmtree(directory / "run" / "shards")
    return words, AGAIN


def without_shards_and_more(rng, directory, words):
    shutil.rmtree(directory / "run" / "shards")
    size = rng.choice(("data.limit=11", "data.limit=3", "sampling.n_samples=4", "data.offset=1"))
    key = size.partition("=")[0]
    return [*(w for w in words if not w.startswith(key)), size], REFUSED


def more_rows(rng, directory, words):
    limit = rng.choice((9, 11))
    has_limit = "data.limit=8" in words
    words = [*(w for w in words if not w.startswith("data.limit")), f"data.limit={limit}"]
    return words, ANEW if has_limit else REFUSED


def another_setting(rng, directory, words):
    setting = rng.choice(
        ("postprocess.pass_threshold=0.5", "postprocess.select.max_pass_rate=0.9",
         "postprocess.estimate.k=[2]", "output.columns=[finish_reason,seed]",
         "postprocess.prefix=my_", "postprocess.export.format=prompt_completion")
    )  # fmt: skip
    key = setting.partition("=")[0]
    return [*(w for w in words if not w.startswith(key)), setting], ANEW


def moved(rng, directory, words):
    (directory / "run").rename(directory / "elsewhere")
    shutil.copytree(directory / "elsewhere", directory / "run")  # other inodes and times
    return words, AGAIN


CHANGES: dict[str, Change] = {
    "nothing": nothing,
    "touched": touched,
    "a bit flipped": a_bit_flipped,
    "a file of the user's instead": mine_instead,
    "a file removed": removed,
    "no shards": without_shards,
    "no shards, other rows": without_shards_and_more,
    "other rows": more_rows,
    "another setting": another_setting,
    "copied": moved,
    "the scorer": edits("scorer.py", b"% 2 ==", b"% 3 ==", ANEW),
    "what the scorer imports": edits("table.py", b"KEY = 0", b"KEY = 1", ANEW),
}
OF_INPUT: dict[str, Change] = {
    "a label": edits("in.parquet", b"label 03", b"lab 3333"[:8], ANEW),
    "a prompt": edits("in.parquet", b"question 3", b"Question 3", REFUSED),
}
OF_SOURCE: dict[str, Change] = {
    "a label of the source": edits("source.jsonl", b"label 03", b"LABEL 03", ANEW),
    "a question of the source": edits("source.jsonl", b"question 3", b"Question 3", REFUSED),
    "the template": edits("template.jinja", b"now", b"NOW", REFUSED),
}

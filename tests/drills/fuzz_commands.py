"""Random command lines: typos, odd values, wrong sections, files that refer to themselves.

Expected: a wrong setting ends with exit code 2 and one line that says what to type, before anything
is written.
"""

import random
from pathlib import Path

from fuzz_texts import text, write_input
from in_process import fault_of, files, run

LIMIT_S = 20
BASE = {
    "rollout": ["engine=scripted", "data.input=in.parquet", "dry_run=true"],
    "rollout.plan": ["model=qwen3_0_6b", "device=48gib"],
    "rollout.prepare": ["source=in.parquet", "preview=true"],
    "rollout.postprocess": ["input=scored.parquet", "scorer=exact", "output.path=o.parquet"],
}
ALLOWED = {
    "rollout": (0, 2),
    "rollout.plan": (0, 1, 2),
    "rollout.prepare": (0, 2),
    "rollout.postprocess": (0, 1, 2),
}
VALUES = [
    "", "0", "-1", "1", "1e3", "1e999", "nan", "inf", "-inf", "true", "null", "9" * 30, "9" * 5000,
    "n" * 300, "/" + "d/" * 2100, "[", "]", "{", "[a,b]", "[[1],[2]]", "{a:1}",
    "{a:{b:[1,2]}}",
    "a,b", "'", '"', "'a", "${", "${x}", "${now:", "${data.input}", "\\", "~",
    "${oc.env:NO_SUCH_NAME}",
    "~nobody/x", "a b", "é", "𝒳", "\n", "a\nb", "../..", ".", "/", "/dev/null", "/dev/zero/x",
    "in.parquet", "in.parquet/x", "glob(*)", "range(1,3)", "choice(1,2)", "int(x)", "sort(2,1)",
    "0x10", "1_000", "1:30", "2024-01-01", "=", "a=b", "\ud8ff", "a\udcffb", "???", "*", "<<",
    "[" * 400, "{a:" * 60, "(" * 50, "-", "--", "@x", "hf_" + "a1" * 12, "https://u:PASSWORD@h/x",
    "a" * 20000,
]  # fmt: skip
FLAGS = [
    "--no-such", "-x", "--config-dir", "--config-dir=nowhere", "--resolve", "--cfg", "word",
    "in.parquet", "--temperature", "--seed=1", "=", "=x", "+=x", "~sampling.seed", "++a.b=1",
    "sampling", "sampling.seed", "hydra.run.dir=${", "hydra/launcher=none", "hydra.verbose=[",
    "engine/x=y", "a/b=c", "config_file=", "config_file=nowhere.yaml", "config_file=in.parquet",
    "config_file=/dev/zero", "config_file=.", "--config-dir=own", "-m=1", "hydra.job.x=1", "\n", "",
    "presets={}", "given=[x]", "+sampling.seed=1", "++sampling.seed=1", "sampling.seed:1",
]  # fmt: skip
LAUGHS = "a0: &a0 [x]\n" + "".join(
    f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)
YAMLS = [
    "&a [*a]", "a: &x {b: *x}", "sampling: &x {extra: {a: *x}}", "sampling: &x {<<: *x}", LAUGHS,
    "sampling:\n  extra:\n" + "".join(f"    {line}\n" for line in LAUGHS.splitlines()),
    "sampling: {seed: 1}\nsampling: {seed: 2}", "sampling: {seed: 1, seed: 2}",
    "sampling: {seed: 1}\nsampling.seed: 2", "1: 2", "sampling: {1: 2}", "sampling: {null: 2}",
    "sampling: {extra: {true: 2}}", "sampling: {extra: {[1]: 2}}", "sampling: {extra: {1.5: 2}}",
    "sampling: {seed: !!binary aGk=}", "sampling: {extra: {a: !!binary aGk=}}",
    "sampling: {extra: {a: !!timestamp 2024-01-01}}", "sampling: !!set {seed}",
    "sampling: {extra: {a: !!python/object:os.system x}}", "sampling: {extra: {a: .nan}}",
    "sampling: {extra: {a: [-.inf]}}", "sampling: {temperature: .nan}",
    "sampling: {temperature: .inf}",
    "sampling: {seed: " + "9" * 5000 + "}", "sampling: {seed: " + "9" * 30 + "}",
    "sampling: {extra: {a: " + "9" * 30 + "}}", "sampling: {temperature: " + "9" * 39 + "}",
    "[" * 2000,
    "sampling: {extra: {a: " + "{b: " * 200 + "1" + "}" * 200 + "}}", "a: b\n---\nc: d", "\0", "%",
    "sampling: {extra: {a: \"\\ud800\"}}", 'run_dir: "a\\0b"', "run_dir: " + "n" * 300, "- a",
    "run_dir: [a]", "engine: [a]", "engine: {a: 1}", "data: {input: {a: 1}}", "data.input: [x]",
    "sampling: {stop: {a: b}}", "sampling: {stop: x}", "sampling: {extra: x}", "x", "''", "---",
]  # fmt: skip


def case(rng: random.Random, directory: Path):
    from fuzz import Outcome

    write_inputs(directory)
    name = rng.choice(list(BASE))
    words = list(BASE[name])
    for _ in range(rng.randint(1, 2)):
        words.insert(rng.randint(0, len(words)), odd_word(rng, name))
    if name == "rollout" and rng.random() < 0.15:
        words.insert(0, "-m")
    if rng.random() < 0.25:
        Path("my.yaml").write_text(rng.choice(YAMLS))
        words.append("config_file=my.yaml")
    before = files(directory)
    done = run(name, words, limit_s=LIMIT_S * 3)
    is_sweep = "-m" in words
    allowed = (0, 1, 2) if is_sweep else ALLOWED[name]
    fault = fault_of(name, done, allowed, one_line=not is_sweep)
    left = files(directory) - before
    if not fault and left and (done.code or name in ("rollout", "rollout.plan")):
        fault = f"left {sorted(left)[:5]}"
    if not fault and "PASSWORD" in done.out + done.err and "--cfg" not in words:
        fault = f"said a password: {(done.out + done.err)[-300:]}"
    if not fault and done.seconds > LIMIT_S:
        fault = f"took {done.seconds:.0f} s"
    shown = [word if len(word) < 200 else f"{word[:100]}...({len(word)})" for word in words]
    yaml = f" my.yaml={Path('my.yaml').read_text()[:150]!r}" if Path("my.yaml").exists() else ""
    return Outcome(f"exit {done.code}", f"{name} {shown}{yaml}: {fault}" if fault else "")


def write_inputs(directory: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    write_input(directory)
    table = pa.table({"prompt": ["a"], "responses": [["b", "a"]], "answer": ["a"]})
    pq.write_table(table, directory / "scored.parquet")
    (directory / "own" / "sampling").mkdir(parents=True)
    (directory / "own" / "sampling" / "bad.yaml").write_text("&a {extra: *a}")


def odd_word(rng: random.Random, name: str) -> str:
    from rollout.config.names import GROUPS, known_keys

    if rng.random() < 0.2:
        return rng.choice(FLAGS)
    stage = name.partition(".")[2]
    own = [key for key in known_keys() if key.startswith(f"{stage}.")]
    keys = [key.removeprefix(f"{stage}.") for key in own] if rng.random() < 0.6 else []
    key = rng.choice(keys or [*known_keys(), *GROUPS])
    kind = rng.random()
    if kind < 0.15:  # a typo
        at = rng.randrange(len(key))
        key = key[:at] + rng.choice(["", "x", key[at] * 2, ".", "-"]) + key[at + 1 :]
    elif kind < 0.25 and "." in key:  # another section's
        key = f"{rng.choice(GROUPS)}.{key.rpartition('.')[2]}"
    elif kind < 0.35:
        key += rng.choice([".name", ".a.b", ".1", ".a b", ".", "[0]", ".auth"])
    value = rng.choice(VALUES) if rng.random() < 0.8 else text(rng)
    return f"{rng.choice(['', '', '', '', '+', '++'])}{key}={value}"

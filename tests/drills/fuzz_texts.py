r"""Texts with odd characters, through every way in: they arrive exactly as given.

Expected (docs/settings.md): a text from a file, the environment or Python is taken literally. A
typed text with a broken `${...}` is refused, with what to type for the text itself.
"""

import json
import random
import re
import shlex
from pathlib import Path

from in_process import fault_of, files, run

SIGNS = [
    "$", "{", "}", "\\", "'", '"', ",", "=", ":", "#", "\n", "${", "\\${", "$${", "é", "𝒳", " ",
    "a", "text", "(", ")", "[", "]", "\t", "?", "|", "*", "null", "1e3", "\\\\", "${oc.env:HOME}",
    "${now:}", "\r", "\x85", "\u2028", "~", "&", ".", "/", "%", "@", "-", "<", "${x}", "${data.",
    "{{ q }}", "true", "\\text{${x}$}", "!", "0x1", "2024-01-01",
]  # fmt: skip
TEXTS = {
    "rollout": (
        "data.system_prompt", "data.template", "output.prefix", "tracking.project",
        "tracking.name", "model.chat_template", "engine.scripted.text", "data.prompt_key",
        "prepare.template", "postprocess.after",
    ),
    "prepare": ("prepare.system", "prepare.template", "prepare.prompt_key", "prepare.filter"),
    "postprocess": ("postprocess.after", "postprocess.prefix", "postprocess.answer_key"),
}  # fmt: skip
LISTS = ("sampling.stop", "sampling.bad_words", "tracking.tags")
BAGS = ("sampling.extra", "engine.extra", "model.chat_template_kwargs")
ENVIRONMENT = {"MODEL_PATH": "model.model_path", "OUTPUT": "output.path"}
NEEDED = {
    "rollout": ["engine=scripted", "data.input=in.parquet"],
    "prepare": ["source=in.parquet", "output.path=out.parquet"],
    "postprocess": ["input=in.parquet", "scorer=exact"],
}


def case(rng: random.Random, directory: Path):
    from fuzz import Outcome

    write_input(directory)
    ways = (from_file, from_python, from_environment, typed, typed_well, kept, swept)
    way = rng.choice(ways)
    before = files(directory)
    fault = way(rng, directory)
    if not fault and way not in (kept,):
        left = files(directory) - before - {"my.yaml"}
        fault = f"left {sorted(left)}" if left else ""
    return Outcome(way.__name__, fault)


def write_input(directory: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"prompt": ["a", "b"], "answer": ["a", "b"]})
    pq.write_table(table, directory / "in.parquet")


def text(rng: random.Random) -> str:
    return "".join(rng.choice(SIGNS) for _ in range(rng.randint(1, 8)))


def nested(rng: random.Random, depth: int = 0):
    if depth > 2 or rng.random() < 0.5:
        return text(rng)
    if rng.random() < 0.5:
        return [nested(rng, depth + 1) for _ in range(rng.randint(1, 3))]
    return {f"k{i}": nested(rng, depth + 1) for i in range(rng.randint(1, 3))}


def some(rng: random.Random, stage: str) -> dict:
    """Return settings of one command, by dotted key."""
    given = {key: text(rng) for key in rng.sample(TEXTS[stage], 2)}
    if stage == "rollout":
        given[rng.choice(LISTS)] = [text(rng) for _ in range(rng.randint(1, 3))]
        given |= {f"{rng.choice(BAGS)}.name": nested(rng)}
    return given


def composed(stage: str, words: list[str], env: dict[str, str] | None = None):
    """Return the settings composed from a command's words, or the line of its refusal."""
    from rollout.config.compose import compose_words
    from rollout.config.sources import gather
    from rollout.config.stages import compose_stage
    from rollout.errors import UserError
    from rollout.runs.run_settings import recorded

    try:
        if stage != "rollout":
            return compose_stage(stage, words)
        given = gather(words, env or {}, Path.cwd(), recorded)
        return compose_words(given.words, given.config_dir)
    except UserError as error:
        return str(error)


def differing(settings, wanted: dict) -> str:
    from rollout.config.schema import get

    if isinstance(settings, str):
        return f"refused: {settings[:300]}; given {wanted!r}"
    for key, value in wanted.items():
        bag = next((b for b in BAGS if key.startswith(f"{b}.")), None)
        found = get(settings, bag)[key.removeprefix(f"{bag}.")] if bag else get(settings, key)
        if found != value:
            return f"{key}: given {value!r}, arrived {found!r}"
    return ""


def sections(given: dict) -> dict:
    found: dict = {}
    for key, value in given.items():
        *above, last = key.split(".")
        place = found
        for name in above:
            place = place.setdefault(name, {})
        place[last] = value
    return found


def as_yaml(rng: random.Random, given: dict) -> str:
    # JSON is YAML if everything beyond ASCII is escaped and no surrogate pairs are used.
    import yaml

    if rng.random() < 0.5 and all(ord(c) < 0x10000 for c in str(given)):
        return json.dumps(sections(given))
    return yaml.safe_dump(sections(given))


def from_file(rng, directory) -> str:
    stage = rng.choice(list(TEXTS))
    given = some(rng, stage)
    Path("my.yaml").write_text(as_yaml(rng, given))
    if rng.random() < 0.3:
        done = run(
            f"rollout{'' if stage == 'rollout' else '.' + stage}",
            [*NEEDED[stage][:2], "config_file=my.yaml", *(["dry_run=true"] * (stage == "rollout"))],
        )
        if fault := fault_of(f"rollout{'' if stage == 'rollout' else '.' + stage}", done):
            return f"{fault}; given {given!r}"
    return differing(composed(stage, [*NEEDED[stage], "config_file=my.yaml"]), given)


def from_python(rng, directory) -> str:
    from rollout.config.compose import compose
    from rollout.errors import UserError

    given = some(rng, "rollout")
    try:
        settings = compose({"engine": "scripted", "data.input": "in.parquet"} | given)
    except UserError as error:
        settings = str(error)
    return differing(settings, given)


def from_environment(rng, directory) -> str:
    name = rng.choice(list(ENVIRONMENT))
    said = text(rng).lstrip("~") or "x"
    fault = differing(
        composed("rollout", NEEDED["rollout"], {name: said}), {ENVIRONMENT[name]: said}
    )
    if not fault:
        done = run("rollout", [*NEEDED["rollout"], "dry_run=true"], {name: said})
        fault = fault_of("rollout", done)
    return f"{fault}; {name}={said!r}" if fault else ""


def typed(rng, directory) -> str:
    """Type a text without escapes. A refusal must suggest a word that gives exactly the text."""
    stage = rng.choice(list(TEXTS))
    key = rng.choice([*TEXTS[stage], *(f"{b}.name" for b in BAGS if stage == "rollout")])
    said = text(rng)
    word = f"{key}={said}"
    multirun = ["-m"] if stage == "rollout" and rng.random() < 0.2 else []
    name = "rollout" if stage == "rollout" else f"rollout.{stage}"
    words = [*multirun, *NEEDED[stage], word, *(["dry_run=true"] * (stage == "rollout"))]
    if stage == "rollout":
        done = run(name, words)
        if fault := fault_of(name, done, (0, 1, 2) if multirun else (0, 2), not multirun):
            return f"{fault}; typed {word!r}"
    if multirun:
        return ""
    settings = composed(stage, [*NEEDED[stage], word])
    if isinstance(settings, str):
        way = re.search(r"for the text itself type (.*)\Z", settings, re.DOTALL)
        if way:
            again = shlex.split(way[1])
            if len(again) != 1:
                return f"not one word: {way[1]!r} for {word!r}"
            return differing(composed(stage, [*NEEDED[stage], *again]), {key: said})
        return "" if "${" not in said else f"no way out in {settings!r}; typed {word!r}"
    plain = re.fullmatch(r"[a-z][a-zé𝒳 ]*[a-z]", said) and said not in ("null", "true")
    return differing(settings, {key: said}) if plain else ""


def typed_well(rng, directory) -> str:
    """Type the text with the escapes that `how_to_type` gives."""
    from rollout.config.overrides import how_to_type

    stage = rng.choice(list(TEXTS))
    given = {key: value for key, value in some(rng, stage).items() if isinstance(value, str)}
    words = [shlex.split(how_to_type(key, value)) for key, value in given.items()]
    return differing(
        composed(stage, [*NEEDED[stage], *(word for found in words for word in found)]), given
    )


def kept(rng, directory) -> str:
    """Check that `run_dir=` alone, and the run's config.yaml, give the recorded texts again."""
    given = {f"engine.scripted.{name}": text(rng) for name in ("text", "refuse")}
    given |= {key: [text(rng), "text" + text(rng)] for key in LISTS[:2]}
    run_dir = re.sub(r"[/~\n\r\x85\u2028]", "_", text(rng)).strip(". ") or "r"
    given["run_dir"] = str(directory / run_dir)
    Path("my.yaml").write_text(as_yaml(rng, given))
    words = [*NEEDED["rollout"], "config_file=my.yaml", "tracking=none", "sampling.n_samples=1"]
    done = run("rollout", words)
    if (fault := fault_of("rollout", done, (0,))) or done.code:
        return f"{fault}; given {given!r}"
    place = directory / run_dir
    config = json.loads((place / "run.json").read_text())["config"]
    if config["engine"]["scripted"]["text"] != given["engine.scripted.text"]:
        return f"run.json has {config['engine']['scripted']['text']!r}; given {given!r}"
    from rollout.config.overrides import how_to_type

    alone = shlex.split(how_to_type("run_dir", str(place)))
    fault = differing(composed("rollout", alone), given)
    again = [f"config_file={place / 'attempts/1/config.yaml'}"]
    return fault or differing(composed("rollout", again), given)


def swept(rng, directory) -> str:
    given = some(rng, "rollout")
    Path("my.yaml").write_text(as_yaml(rng, given))
    words = ["-m", *NEEDED["rollout"], "sampling.seed=1,2", "config_file=my.yaml", "dry_run=true"]
    done = run("rollout", words)
    fault = fault_of("rollout", done, (0, 1, 2), one_line=False)
    return f"{fault}; given {given!r}" if fault else ""

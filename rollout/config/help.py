"""--help: one screen, made from config/sections; `--help all` lists every setting."""

from rollout.config.names import GROUPS, known_keys
from rollout.config.presets import preset_names
from rollout.config.schema import Key, type_name

PAGE = """\
rollout: n responses for every prompt of a parquet file, by vLLM

  python -m rollout                                   the demo: a small model, example prompts
  python -m rollout data.input=prompts.parquet model=qwen3_4b engine=single_a100
  python -m rollout data.input=prompts.parquet -m sampling.temperature=0.7,1.0

Presets (group=name):
{presets}

Often set (key=value):
{settings}

Killed? Type run_dir=DIR (printed at the start) to continue the run. For more, add a larger
sampling.n_samples, retry_failed=true or continue_truncated=true; to start over, resume=fresh.
More: python -m rollout.plan, rollout.prepare, rollout.postprocess, rollout.report, rollout.ls
Every setting: --help all    The config in force: --cfg job    Check only: dry_run=true
Also: config_file=FILE.yaml   --config-dir DIR (own presets)   -m (sweep)   --version
"""
OFTEN = (
    "data.input",
    "data.prompt_key",
    "data.limit",
    "output.path",
    "output.columns",
    "model.model_path",
    "sampling.n_samples",
    "sampling.max_tokens",
    "sampling.temperature",
    "sampling.seed",
    "engine.max_model_len",
    "engine.max_num_seqs",
    "run_dir",
)
WIDTH = 100


def help_text(full: bool = False) -> str:
    """Return the page, or with `full` every setting with its type, default and meaning."""
    known = known_keys()
    if full:
        return "\n".join(_row(key, 34, f" [{type_name(key.type)}]") for key in known.values())
    presets = "\n".join(_wrapped(f"  {g:<11}", "  ".join(preset_names(g))) for g in GROUPS)
    return PAGE.format(presets=presets, settings="\n".join(_row(known[name], 22) for name in OFTEN))


def _wrapped(start: str, text: str) -> str:
    """Return `text` after `start`, with its other lines indented to the first."""
    import textwrap

    lines = textwrap.wrap(text, WIDTH - len(start), break_on_hyphens=False) or [""]
    return start + ("\n" + " " * len(start)).join(lines)


def _row(key: Key, width: int, end: str = "") -> str:
    default = default_text(key)
    if len(default) > 9:  # a long list: after its meaning
        default, end = "", f"{end}; {default.replace(',', ', ')}"
    return _wrapped(f"  {key.name:<{width}} {default:<9} ", key.help + end)


def default_text(key: Key) -> str:
    """Return a default as a user would type it."""
    default = key.default
    if shown := key.checks.get("shown"):
        return shown
    if default is None:
        return "null"
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, list):
        return "[" + ",".join(default) + "]"
    return str(getattr(default, "name", default))


def settings_table() -> str:
    """Return every setting as a Markdown table, for docs/settings.md."""
    known = known_keys()
    lines = ["| setting | type | default | meaning |", "| --- | --- | --- | --- |"]
    for key in known.values():
        kind = type_name(key.type).replace("|", " \\| ")
        meaning = key.help.replace("|", "\\|")
        lines.append(f"| `{key.name}` | {kind} | `{default_text(key)}` | {meaning} |")
    return "\n".join(lines)

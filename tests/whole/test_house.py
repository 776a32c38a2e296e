"""Rules of the house that a reader relies on: light imports, one room for each library."""

import subprocess
import sys

from processes import ROOT, environment

HEAVY = {
    "vllm", "torch", "ray", "wandb", "transformers", "pandas", "numpy", "pyarrow", "hydra",
    "omegaconf", "huggingface_hub", "rich", "pynvml",
}  # fmt: skip
ON_HYDRA = ("launcher", "task")  # classes of Hydra's; imported when Hydra starts
MODULES = sorted(
    ".".join(file.relative_to(ROOT).with_suffix("").parts)
    for file in (ROOT / "rollout").rglob("*.py")
    if file.stem not in ("__main__", *ON_HYDRA) and "examples" not in file.parts
)


def test_importing_any_module_imports_nothing_heavy():
    code = f"import sys, {', '.join(MODULES)}; print(*{{m.split('.')[0] for m in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    )
    assert not HEAVY & set(done.stdout.split())


def test_the_linter_finds_nothing():
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "."],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout


def test_readme_lists_every_setting_as_it_is_declared():
    from rollout.config.help import settings_table

    assert settings_table() in (ROOT / "README.md").read_text(), (
        "paste what this prints: "
        "python -c 'from rollout.config.help import settings_table; print(settings_table())'"
    )

"""The settings of what follows scoring: estimates, selection, exports.

Nested in Postprocess as `estimate`, `select` and `export`.
"""

from dataclasses import dataclass
from enum import Enum

from rollout.config.schema import setting


class Unscored(Enum):
    """What an error of the scorer (time-out, exception, memory) is in pass@k, mean and vote."""

    fail = "fail"
    leave_out = "leave_out"


class Format(Enum):
    """Who reads the export: TRL's dataset types by their names, or verl."""

    none = "none"
    sft = "sft"
    prompt_completion = "prompt_completion"
    dpo = "dpo"
    grpo = "grpo"
    verl = "verl"


@dataclass(kw_only=True, slots=True)
class Estimate:
    """What is estimated of the scored samples."""

    k: list[int] = setting([], "pass@k for these k; empty: 1, 2, 4, ... up to the most samples")
    group_by: list[str] = setting([], "columns; the table gets a row for each of their values")
    confidence: float = setting(0.95, "coverage of the intervals", above=0.0, maximum=0.9999)
    resamples: int = setting(1000, "bootstrap resamples of the prompts; 0: none", minimum=0)
    seed: int = setting(0, "seed of the resamples", minimum=0)
    unscored: Unscored = setting(
        Unscored.fail, "time-outs, exceptions, memory: count as not solved (fail), or leave_out"
    )


@dataclass(kw_only=True, slots=True)
class Select:
    """Which rows and responses are exported; grpo and verl export prompts, so only rows count."""

    min_pass_rate: float | None = setting(
        None, "drop prompts that pass less often", minimum=0.0, maximum=1.0
    )
    max_pass_rate: float | None = setting(
        None, "drop prompts that pass more often", minimum=0.0, maximum=1.0
    )
    passed: bool = setting(True, "sft and chosen responses must pass")
    finished: bool = setting(True, "drop truncated responses, where finish_reason is a column")
    dedupe: bool = setting(True, "drop a prompt's responses with the same text, but the first")
    min_chars: int | None = setting(None, "drop shorter responses, in characters", minimum=0)
    max_chars: int | None = setting(None, "drop longer responses, in characters", minimum=1)
    min_tokens: int | None = setting(
        None, "drop shorter responses, in tokens (column num_response_tokens)", minimum=0
    )
    max_tokens: int | None = setting(
        None, "drop longer responses, in tokens (column num_response_tokens)", minimum=1
    )
    max_per_prompt: int | None = setting(
        None, "most sft responses of a prompt, best scores first", minimum=1
    )


@dataclass(kw_only=True, slots=True)
class Export:
    """A training file of what was selected."""

    format: Format = setting(Format.none, "what the file is for")
    path: str | None = setting(None, "parquet file to write")
    overwrite: bool = setting(False, "replace a file that already stands there")
    keep: list[str] = setting([], "columns of the input that ride along")
    as_chat: bool = setting(False, "write prompts that are text as a user's message")
    as_asked: bool = setting(
        True, "prompts as the run asked them (data.system_prompt, ...); false: prompt_key's column"
    )
    few_shot: bool | None = setting(
        None, "keep rollout.prepare's few-shot examples; null: in grpo and verl alone"
    )
    answer_key: str | None = setting(
        None, "grpo, verl: column taken as it stands; null: what the scorer compared with"
    )
    data_source: str | None = setting(
        None, "verl: picks its reward function; null: the column data_source, or by the answer"
    )
    ability: str | None = setting(None, "verl: kind of task; null: the column ability, or math")
    split: str | None = setting(None, "verl: extra_info.split; null: the input's, or train")
    max_pairs: int = setting(1, "dpo: most pairs of a prompt, best with worst first", minimum=1)
    min_margin: float = setting(0.0, "dpo: least difference of the two scores", minimum=0.0)

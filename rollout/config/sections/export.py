"""The settings of the steps after scoring: `postprocess.estimate.`, `.select.` and `.export.`."""

from dataclasses import dataclass
from enum import Enum

from rollout.config.schema import setting


class Unscored(Enum):
    """How a scorer's error (timeout, exception, memory) counts in pass@k, mean and vote."""

    fail = "fail"
    leave_out = "leave_out"


class Format(Enum):
    """The trainer's format: a dataset type of TRL, by its name, or verl's."""

    none = "none"
    sft = "sft"
    prompt_completion = "prompt_completion"
    dpo = "dpo"
    grpo = "grpo"
    verl = "verl"


@dataclass(kw_only=True, slots=True)
class Estimate:
    """Estimates over the scored samples."""

    k: list[int] = setting([], "pass@k for these k; empty: 1, 2, 4, ... up to the sample count")
    group_by: list[str] = setting([], "columns; the table gets a row for each of their values")
    confidence: float = setting(0.95, "coverage of the intervals", above=0.0, maximum=0.9999)
    resamples: int = setting(1000, "bootstrap resamples of the prompts; 0: none", minimum=0)
    seed: int = setting(0, "seed of the resamples", minimum=0)
    unscored: Unscored = setting(
        Unscored.fail, "timeouts, exceptions, memory: count as not solved (fail), or leave_out"
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
    dedupe: bool = setting(True, "of a prompt's responses with the same text, keep the first")
    min_chars: int | None = setting(None, "drop shorter responses, in characters", minimum=0)
    max_chars: int | None = setting(None, "drop longer responses, in characters", minimum=1)
    min_tokens: int | None = setting(
        None, "drop shorter responses, in tokens (column num_response_tokens)", minimum=0
    )
    max_tokens: int | None = setting(
        None, "drop longer responses, in tokens (column num_response_tokens)", minimum=1
    )
    max_per_prompt: int | None = setting(
        None, "maximum sft responses per prompt, best scores first", minimum=1
    )


@dataclass(kw_only=True, slots=True)
class Export:
    """A training file of the selected rows and responses."""

    format: Format = setting(Format.none, "TRL's dataset type, or verl")
    path: str | None = setting(None, "parquet file to write")
    overwrite: bool = setting(False, "replace an existing file")
    keep: list[str] = setting([], "columns of the input to copy")
    as_chat: bool = setting(False, "write text prompts as a user message")
    as_asked: bool = setting(
        True, "prompts as the run sent them (data.system_prompt, ...); false: prompt_key's column"
    )
    few_shot: bool | None = setting(
        None, "keep rollout.prepare's few-shot examples; null: only in grpo and verl"
    )
    answer_key: str | None = setting(
        None, "grpo, verl: column copied as it is; null: the ground truth as the scorer read it"
    )
    data_source: str | None = setting(
        None, "verl: selects its reward function; null: column data_source, or by the answer"
    )
    ability: str | None = setting(None, "verl: kind of task; null: the column ability, or math")
    split: str | None = setting(None, "verl: extra_info.split; null: the input's, or train")
    max_pairs: int = setting(1, "dpo: maximum pairs per prompt, best with worst first", minimum=1)
    min_margin: float = setting(0.0, "dpo: minimum difference of the two scores", minimum=0.0)

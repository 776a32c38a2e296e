"""The settings: every key, its type, default, meaning and range, declared here and nowhere else.

Sections are WHAT is sampled (model, sampling, data), HOW it is run (engine, scale) or what is
said ABOUT it (output, tracking). WHAT settings make the fingerprint of a run. A setting whose
kind differs from its section's says so; rows are of kind ROWS. This module imports nothing heavy:
`--help` and the README's tables are made from it.
"""

import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any

from rollout.config.schema import (
    ABOUT,
    HOW,
    MAX_INT,
    ROWS,
    WHAT,
    Key,
    check_finite,
    check_range,
    get,
    keys_of,
    setting,
)
from rollout.config.sections.postprocess import Postprocess
from rollout.config.sections.prepare import LastAnswer, Prepare
from rollout.errors import UserError, did_you_mean
from rollout.rows.reasoning import TAGS

UNSET_PARAM = ("skip_special_tokens", True)  # the one default of vLLM that is true
OBJECTIVE = "output_tokens_per_s"
DTYPES = ("auto", "bfloat16", "float16", "float32")
KV_CACHE_DTYPES = ("auto", "bfloat16", "float16", "fp8", "fp8_e4m3", "fp8_e5m2")


class Device(Enum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Backend(Enum):
    vllm = "vllm"
    scripted = "scripted"


class Template(Enum):
    auto = "auto"
    always = "always"
    never = "never"


class PromptFormat(Enum):
    auto = "auto"
    json = "json"
    sharegpt = "sharegpt"
    tokens = "tokens"


class SystemPromptMode(Enum):
    add = "add"
    replace = "replace"


class OnError(Enum):
    record = "record"
    skip = "skip"
    fail = "fail"


class OnOom(Enum):
    fail = "fail"
    step_down = "step_down"


class Layout(Enum):
    per_prompt = "per_prompt"
    per_sample = "per_sample"


class Scale(Enum):
    local = "local"


class Tracker(Enum):
    none = "none"
    wandb = "wandb"


class WandbMode(Enum):
    auto = "auto"
    online = "online"
    offline = "offline"


class Resume(Enum):
    auto = "auto"
    never = "never"
    fresh = "fresh"


@dataclass(kw_only=True, slots=True)
class Model:
    """What generates."""

    kind: typing.ClassVar[str] = WHAT
    model_path: str = setting("???", "local directory, hub id, or embedded:NAME", shown="by preset")
    revision: str | None = setting(None, "branch, tag or commit on the hub; null: the default one")
    lora_path: str | None = setting(None, "LoRA adapter: local directory or hub id")
    trust_remote_code: bool = setting(False, "run Python code that comes with the checkpoint")
    chat_template: str | None = setting(
        None, "Jinja file, or template text, instead of the model's"
    )
    chat_template_kwargs: dict[str, Any] = setting(
        {}, "variables for the chat template, such as enable_thinking"
    )
    reasoning_tags: list[str] = setting(
        list(TAGS), "texts that begin and end what the model thinks before its answer", kind=ABOUT
    )
    shape: dict[str, Any] = setting(
        {}, "config.json's fields, for planning where the model is not at hand", kind=ABOUT
    )


@dataclass(kw_only=True, slots=True)
class Sampling:
    """How each response is drawn; null takes the model's generation_config value."""

    kind: typing.ClassVar[str] = WHAT
    n_samples: int = setting(8, "responses for every prompt", minimum=1, maximum=16384)
    max_tokens: int | str = setting(
        2048, "longest response, in tokens; auto: as long as the context allows", minimum=1
    )
    temperature: float | None = setting(1.0, "0 is greedy", minimum=0)
    top_p: float | None = setting(0.95, "nucleus mass kept", above=0, maximum=1)
    top_k: int | None = setting(-1, "most likely tokens kept; -1 or 0 keeps all", minimum=-1)
    repetition_penalty: float | None = setting(1.0, "above 1 discourages repetition", above=0)
    seed: int | None = setting(
        42, "makes every sample repeatable; null draws fresh ones", minimum=0, maximum=MAX_INT
    )
    min_p: float | None = setting(
        None, "least probability kept, as a share of the likeliest token's", minimum=0, maximum=1
    )
    presence_penalty: float | None = setting(
        None, "above 0 discourages tokens that are there already", minimum=-2, maximum=2
    )
    frequency_penalty: float | None = setting(
        None, "the same, the more often they are there", minimum=-2, maximum=2
    )
    min_tokens: int | None = setting(None, "no end of the text before so many tokens", minimum=0)
    stop: list[str] = setting([], "texts that end a response; they are left out of it")
    stop_token_ids: list[int] = setting([], "token ids that end a response")
    include_stop_str_in_output: bool = setting(False, "keep the stop text in the response")
    ignore_eos: bool = setting(False, "go on past the end-of-text token, up to max_tokens")
    bad_words: list[str] = setting([], "words never sampled")
    allowed_token_ids: list[int] = setting([], "only these token ids are sampled")
    logit_bias: dict[int, float] = setting({}, "token id: number added to its logit, -100 to 100")
    structured_outputs: dict[str, Any] = setting(
        {}, "json (a schema or its file), regex, choice, grammar or json_object: responses fit it"
    )
    thinking_token_budget: int | None = setting(
        None, "tokens a model may think, where its reasoning parser knows", minimum=0
    )
    skip_special_tokens: bool = setting(True, "leave special tokens out of the text")
    extra: dict[str, Any] = setting({}, "further vLLM SamplingParams, verbatim")

    @property
    def token_limit(self) -> int | None:
        """Tokens of a response at most; None: as many as the context allows."""
        return None if isinstance(self.max_tokens, str) else self.max_tokens

    @property
    def params(self) -> dict[str, Any]:
        """What is set of vLLM's SamplingParams, under its names; n, max_tokens and seed left out.

        A value that stands for vLLM's own default (empty, null) is left out.
        """
        own = ("n_samples", "max_tokens", "seed", "extra")
        found = {}
        for f in fields(self):
            value = getattr(self, f.name)
            is_unset = value is None or value == [] or value == {} or value is False
            if f.name not in own and not is_unset and (f.name, value) != UNSET_PARAM:
                found[f.name] = value
        return found | self.extra


@dataclass(kw_only=True, slots=True)
class Scripted:
    """The scripted engine: deterministic, no model, faults on demand."""

    response_tokens: int = setting(
        16, "tokens of each response, at most max_tokens", minimum=1, kind=WHAT
    )
    vary: bool = setting(
        True, "lengths vary from 1 to twice response_tokens; else all equal", kind=WHAT
    )
    text: str | None = setting(None, "every response is this text", kind=WHAT)
    instant: bool = setting(False, "every sample ends in the step that admits it")
    max_model_len: int = setting(4096, "longer prompts (1 token a word) are refused", minimum=1)
    step_s: float = setting(0.0, "seconds each step takes", minimum=0)
    load_s: float = setting(0.0, "seconds loading takes", minimum=0)
    refuse: str | None = setting(None, "refuse prompts that contain this text")
    poison: str | None = setting(None, "prompts that contain this text kill the engine")
    die_after_steps: int | None = setting(None, "each engine dies after so many steps", minimum=0)
    oom_above: int | None = setting(
        None, "out of memory where max_num_seqs is above this", minimum=1
    )
    oom_after_steps: int = setting(0, "when: after so many steps; 0: while loading", minimum=0)


@dataclass(kw_only=True, slots=True)
class Engine:
    """How it is run: vLLM's knobs under vLLM's names."""

    kind: typing.ClassVar[str] = HOW
    backend: Backend = setting(
        Backend.vllm, "vllm, or scripted (no model: for tests and drills)", kind=WHAT
    )
    device: Device = setting(Device.auto, "auto takes the GPUs where there are any, else the CPU")
    tensor_parallel_size: int = setting(1, "GPUs that share one copy of the model", minimum=1)
    gpu_memory_utilization: float = setting(
        0.9, "share of each GPU's memory to use", above=0, maximum=1
    )
    max_model_len: int | None = setting(
        None, "context length, in tokens; null: the model's own", minimum=1, kind=WHAT
    )
    dtype: str = setting("bfloat16", "bfloat16, float16, float32 or auto", kind=WHAT)
    quantization: str | None = setting(
        None, "vLLM's quantization method; null: as saved", kind=WHAT
    )
    enforce_eager: bool = setting(False, "no CUDA graphs: less memory, slower decoding")
    enable_prefix_caching: bool = setting(True, "compute shared prompt prefixes once")
    max_num_seqs: int = setting(256, "samples decoded side by side", minimum=1)
    max_num_batched_tokens: int | None = setting(
        None, "tokens a step may process; null: vLLM's choice", minimum=1
    )
    kv_cache_gib: float | None = setting(
        None, "KV cache size in GiB; null: from gpu_memory_utilization, or 4 on a CPU", above=0
    )
    kv_cache_dtype: str = setting(
        "auto", "auto (as dtype), fp8, fp8_e4m3 or fp8_e5m2: half the memory a token", kind=WHAT
    )
    preflight: bool = setting(True, "refuse before loading what can't fit; false: try anyway")
    on_oom: OnOom = setting(
        OnOom.fail, "out of memory: fail, or step_down to smaller settings and go on"
    )
    on_oom_kv_cache_dtype: str | None = setting(
        None, "KV cache dtype that step_down may turn to, such as fp8; it changes the samples"
    )
    max_restarts: int = setting(
        3, "deaths of the engine with no row finished in between, before the run ends", minimum=0
    )
    extra: dict[str, Any] = setting({}, "further vLLM EngineArgs, verbatim")
    scripted: Scripted = field(default_factory=Scripted, metadata={"help": "the scripted engine"})


@dataclass(kw_only=True, slots=True)
class Data:
    """Where the prompts come from."""

    kind: typing.ClassVar[str] = WHAT
    input: str | None = setting(
        None, "parquet file, glob, or directory of parquet files", kind=ROWS
    )
    prompt_key: str = setting("prompt", "column that holds a string, chat messages or token ids")
    prompt_format: PromptFormat = setting(
        PromptFormat.auto,
        "json: text is a JSON chat; sharegpt: turns of from and value; tokens: lists of token ids",
    )
    last_answer: LastAnswer = setting(
        LastAnswer.auto,
        "an assistant's message at the end: keep continues it, drop asks anew; auto: keep, but not "
        "sharegpt",
    )
    apply_chat_template: Template = setting(
        Template.auto, "auto: chats only; always: strings become a user message; never: refuse"
    )
    template: str | None = setting(
        None, "Jinja file, or text, that makes each prompt from the row's columns, not prompt_key"
    )
    system_prompt: str | None = setting(
        None, "text, or a file of it, put before chats without a system message; strings too"
    )
    system_prompt_mode: SystemPromptMode = setting(
        SystemPromptMode.add,
        "chats with a system message of their own: add keeps it, replace puts system_prompt there",
    )
    tools: str | None = setting(
        None,
        "YAML or JSON file, or text: list of tools for the chat template; strings become chats",
    )
    tools_key: str | None = setting(
        None, "column of a row's own tools (list, or JSON text); null there: data.tools"
    )
    sampling_key: str | None = setting(
        None, "column of a row's own sampling settings (struct, or JSON text); null there: none"
    )
    offset: int = setting(0, "rows to leave out at the start", minimum=0)
    limit: int | None = setting(None, "rows to answer at most", minimum=1, kind=ROWS)
    shuffle_seed: int | None = setting(
        None, "offset and limit pick rows at random, kept in input order", minimum=0
    )
    on_error: OnError = setting(
        OnError.record, "a bad row is recorded in the output, skipped, or fails the run", kind=HOW
    )
    max_attempts: int = setting(
        3, "times a row is tried in all, with retry_failed", minimum=1, kind=HOW
    )


@dataclass(kw_only=True, slots=True)
class Output:
    """What is written."""

    kind: typing.ClassVar[str] = ABOUT
    path: str | None = setting(
        None, "the published file; null: output.parquet, or output/, in run_dir"
    )
    columns: list[str] = setting(
        ["finish_reason", "num_response_tokens", "num_prompt_tokens", "is_reasoning_closed"],
        "columns added beside responses and error",
    )
    reasoning_parser: str | None = setting(
        None,
        "vLLM's parser, such as qwen3, that splits off the reasoning; null: the model's tags",
    )
    prefix: str = setting("", "put before the name of every column added")
    layout: Layout = setting(
        Layout.per_prompt, "a row for each prompt, with lists; or per_sample: for each response"
    )
    partition_rows: int | None = setting(
        None, "output.path is a directory, output/, of files of at most so many rows", minimum=1
    )
    overwrite: bool = setting(False, "replace what already stands at output.path")


@dataclass(kw_only=True, slots=True)
class ScaleOut:
    """How many engines."""

    kind: typing.ClassVar[str] = HOW
    mode: Scale = setting(Scale.local, "local: one engine on this machine")
    num_replicas: int = setting(1, "engines side by side", minimum=1, maximum=1)


@dataclass(kw_only=True, slots=True)
class Tracking:
    """Who is told; local files are always written."""

    kind: typing.ClassVar[str] = ABOUT
    tracker: Tracker = setting(Tracker.wandb, "wandb, or none (wandb is then not imported)")
    project: str = setting("rollout", "wandb project")
    entity: str | None = setting(None, "wandb team or user; null: your default")
    name: str | None = setting(None, "wandb run name; null: the run directory's")
    group: str | None = setting(None, "wandb group; null: the sweep directory's, if any")
    tags: list[str] = setting([], "wandb tags")
    mode: WandbMode = setting(WandbMode.auto, "auto: online when logged in, else offline")
    interval_s: float = setting(2.0, "seconds between two lines of metrics.jsonl", above=0)
    num_table_rows: int = setting(
        20, "prompts with their responses sent to wandb's table", minimum=0
    )


@dataclass(kw_only=True, slots=True)
class StopIf:
    """When a bad run ends early: shares of the samples finished in this launch; null: never."""

    kind: typing.ClassVar[str] = HOW
    truncated_fraction: float | None = setting(
        None, "end when more were cut off at max_tokens", minimum=0, maximum=1
    )
    empty_fraction: float | None = setting(
        None, "end when more are the empty text", minimum=0, maximum=1
    )
    unclosed_fraction: float | None = setting(
        None, "end when more begin to reason and do not end it", minimum=0, maximum=1
    )
    duplicate_fraction: float | None = setting(
        None, "end when more equal an earlier sample of their prompt", minimum=0, maximum=1
    )
    repetitive_fraction: float | None = setting(
        None, "end when more end in one phrase over and over", minimum=0, maximum=1
    )
    failed_fraction: float | None = setting(
        None, "end when more rows (not samples) failed", minimum=0, maximum=1
    )
    after_samples: int = setting(
        256, "samples this launch has to finish before it is judged", minimum=1
    )


@dataclass(kw_only=True, slots=True)
class Settings:
    """Everything one run needs to know."""

    kind: typing.ClassVar[str] = ABOUT
    model: Model = field(default_factory=Model)
    sampling: Sampling = field(default_factory=Sampling)
    engine: Engine = field(default_factory=Engine)
    data: Data = field(default_factory=Data)
    output: Output = field(default_factory=Output)
    scale: ScaleOut = field(default_factory=ScaleOut)
    tracking: Tracking = field(default_factory=Tracking)
    stop_if: StopIf = field(default_factory=StopIf)
    prepare: Prepare = field(default_factory=Prepare)
    postprocess: Postprocess = field(default_factory=Postprocess)
    run_dir: str = setting("???", "the run's directory", shown="outputs/DATE/TIME")
    resume: Resume = setting(
        Resume.auto,
        "run_dir holds a run: auto goes on with it, never refuses, fresh moves it aside",
    )
    objective: str | None = setting(
        None,
        "figure that ranks a sweep's points (optimisers, too); null: scores.pass@1 if scored, or "
        "output_tokens_per_s",
    )
    retry_failed: bool = setting(False, "on resume, try rows that ended in an error again")
    continue_truncated: bool = setting(
        False, "on resume, go on with samples that max_tokens cut off, if it is larger now"
    )
    dry_run: bool = setting(False, "check everything, say what would be done, start no engine")
    presets: dict[str, Any] = setting({}, "the presets chosen; filled in, not typed")
    given: list[str] = setting([], "the keys set outside presets; filled in, not typed")


def objective_in(settings: Settings) -> str:
    """The figure by which points are ranked: the one asked for, or what goes without saying."""
    if settings.objective is not None:
        return settings.objective
    if settings.postprocess.scorer is None:
        return OBJECTIVE
    return f"scores.pass@{min(settings.postprocess.estimate.k, default=1)}"


SECTIONS = ("model", "sampling", "engine", "data", "output", "scale", "tracking")


def keys() -> Mapping[str, Key]:
    """Every setting by its dotted name, in the order of declaration."""
    return keys_of(Settings)


def validate(settings: Settings) -> None:
    """Check every range and every rule between settings.

    Raises UserError naming the first key that breaks one, with its value and what would do.
    """
    for key in keys().values():
        value = get(settings, key.name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            check_range(key, value)
        if key.is_bag:
            check_finite(key.name, value)
    _check_extras(settings)
    if settings.engine.dtype not in DTYPES:
        raise UserError(
            f"engine.dtype={settings.engine.dtype} is unknown."
            f"{did_you_mean(settings.engine.dtype, DTYPES)} There are: {', '.join(DTYPES)}"
        )
    for name in ("kv_cache_dtype", "on_oom_kv_cache_dtype"):
        value = getattr(settings.engine, name)
        if value is not None and value not in KV_CACHE_DTYPES:
            raise UserError(
                f"engine.{name}={value} is unknown.{did_you_mean(value, KV_CACHE_DTYPES)} "
                f"There are: {', '.join(KV_CACHE_DTYPES)}"
            )
    data, output = settings.data, settings.output
    if data.shuffle_seed is not None and data.limit is None and data.offset == 0:
        raise UserError(
            "data.shuffle_seed picks which rows data.limit takes (the output keeps the input's "
            "order), so alone it does nothing; add data.limit=N or leave it out"
        )
    _check_prompt_side(data, settings.model)
    if settings.continue_truncated and settings.sampling.structured_outputs:
        raise UserError(
            "continue_truncated=true can't go on within sampling.structured_outputs: the grammar "
            "would begin anew; leave one of them out"
        )
    _check_sampling(settings.sampling)
    _check_reasoning(settings)
    if duplicates := {c for c in output.columns if output.columns.count(c) > 1}:
        raise UserError(f"output.columns names {sorted(duplicates)[0]!r} twice")


def _check_sampling(sampling: Sampling) -> None:
    if isinstance(sampling.max_tokens, str) and sampling.max_tokens != "auto":
        raise UserError(
            f"sampling.max_tokens={sampling.max_tokens} is neither a number nor auto (as long as "
            "the context allows)"
        )
    for stop in sampling.stop:
        if not stop:
            raise UserError("sampling.stop holds an empty text, which would end every response")
        if stop.replace("\\n", "").replace("\\t", "") == "":
            raise UserError(
                f"sampling.stop={stop} is a backslash and a letter, not a line's end; type "
                "$'sampling.stop=[\"\\n\"]' in the shell, or set it in a YAML file"
            )
    if (least := sampling.min_tokens) and least > (sampling.token_limit or MAX_INT):
        raise UserError(
            f"sampling.min_tokens={least} is more than sampling.max_tokens={sampling.max_tokens}"
        )


def _check_reasoning(settings: Settings) -> None:
    tags, parser = settings.model.reasoning_tags, settings.output.reasoning_parser
    if len(tags) != 2 or not all(tags) or tags[0] == tags[1]:
        raise UserError(
            f"model.reasoning_tags={tags} must be two different texts, one that begins the "
            "reasoning and one that ends it, such as ['<think>','</think>']"
        )
    if parser is not None and settings.engine.backend is Backend.scripted:
        raise UserError(
            f"output.reasoning_parser={parser} is vLLM's and wants a model's tokenizer, which the "
            "scripted engine has not; leave it out, so that model.reasoning_tags split"
        )


def _check_prompt_side(data: Data, model: Model) -> None:
    """Refuse settings that would be ignored for what other settings say."""
    carried = ("system_prompt", "tools", "tools_key")  # by chats alone
    makes_chats = [key for key in carried if getattr(data, key) is not None]
    if data.prompt_format is PromptFormat.tokens:
        odd = [*makes_chats, *(["template"] if data.template is not None else [])]
        odd += ["apply_chat_template=always"] if data.apply_chat_template is Template.always else []
        if odd:
            raise UserError(
                f"data.prompt_format=tokens sends token ids as they are, so data.{odd[0]} would do "
                "nothing; leave one of them out"
            )
    if data.system_prompt is None and data.system_prompt_mode is not SystemPromptMode.add:
        raise UserError(
            "data.system_prompt_mode=replace has nothing to put in; type data.system_prompt= too"
        )
    if data.last_answer is not LastAnswer.auto:
        odd = "prompt_format=tokens" if data.prompt_format is PromptFormat.tokens else None
        is_text = data.template is not None and data.prompt_format is PromptFormat.auto
        if odd or is_text:
            raise UserError(
                f"data.last_answer={data.last_answer.name} is for chats, and "
                f"data.{odd or 'template'} makes none; leave one of them out"
            )
    if data.apply_chat_template is Template.never and makes_chats:
        raise UserError(
            f"data.{makes_chats[0]} reaches the model through its chat template alone, and "
            "data.apply_chat_template=never; leave one of them out"
        )
    if "tools" in model.chat_template_kwargs and {"tools", "tools_key"} & set(makes_chats):
        raise UserError(
            "model.chat_template_kwargs.tools and data.tools are one thing; leave the first out"
        )


def _check_extras(settings: Settings) -> None:
    """A key that is both typed and in `extra` would have two values: refuse it."""
    for section in ("sampling", "engine"):
        typed = {k.rsplit(".", 1)[-1] for k in keys() if k.startswith(section + ".")}
        clash = sorted((typed | set(VLLM_NAMES[section])) & set(getattr(settings, section).extra))
        if not clash:
            continue
        key = VLLM_NAMES[section].get(clash[0], f"{section}.{clash[0]}")
        advice = f"is a setting of its own here; type {key}=... instead" if key else "is set here"
        raise UserError(f"{section}.extra.{clash[0]} {advice}")


# The same thing under the name vLLM gives it -> our key; None: not the user's.
VLLM_NAMES: dict[str, dict[str, str | None]] = {
    "sampling": {"n": "sampling.n_samples", "output_kind": None},
    "engine": {
        "model": "model.model_path",
        "revision": "model.revision",
        "disable_log_stats": None,
    },
}

"""Check every setting's range, and the rules between settings, before anything else."""

from rollout.config.schema import MAX_INT, check_finite, check_range, get
from rollout.config.sections.data import Data, PromptFormat, SystemPromptMode, Template
from rollout.config.sections.engine import DTYPES, KV_CACHE_DTYPES, Backend
from rollout.config.sections.model import Model
from rollout.config.sections.prepare import LastAnswer
from rollout.config.sections.sampling import Sampling
from rollout.config.sections.scale import Scale, ScaleOut
from rollout.config.settings import Settings, keys
from rollout.errors import UserError, did_you_mean
from rollout.system.storage.paths import is_remote

# vLLM's names of our settings -> our key; None: not for users to set.
VLLM_NAMES: dict[str, dict[str, str | None]] = {
    "sampling": {"n": "sampling.n_samples", "output_kind": None},
    "engine": {
        "model": "model.model_path",
        "revision": "model.revision",
        "disable_log_stats": None,
    },
}


def validate(settings: Settings) -> None:
    """Check every range and every rule between settings.

    Raises UserError naming the first key that breaks one, its value and what is allowed.
    """
    for key in keys().values():
        value = get(settings, key.name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            check_range(key, value)
        if key.is_bag:
            check_finite(key.name, value)
    _check_extras(settings)
    for name, known in (
        ("dtype", DTYPES),
        ("kv_cache_dtype", KV_CACHE_DTYPES),
        ("on_oom_kv_cache_dtype", (*KV_CACHE_DTYPES, None)),
    ):
        if (value := getattr(settings.engine, name)) not in known:
            options = [option for option in known if option]
            raise UserError(
                f"engine.{name}={value} is unknown.{did_you_mean(value, options)} "
                f"Choose from: {', '.join(options)}"
            )
    data, output = settings.data, settings.output
    if data.shuffle_seed is not None and data.limit is None and data.offset == 0:
        raise UserError(
            "data.shuffle_seed picks the rows for data.limit (the output keeps the input's order), "
            "so alone it does nothing; add data.limit=N or leave it out"
        )
    _check_prompt_side(data, settings.model)
    if settings.continue_truncated and settings.sampling.structured_outputs:
        raise UserError(
            "continue_truncated=true does not work with sampling.structured_outputs: the grammar "
            "would start over; leave one of them out"
        )
    _check_scale(settings.scale)
    _check_sampling(settings.sampling)
    _check_reasoning(settings)
    _check_artifact(settings)
    if duplicates := {c for c in output.columns if output.columns.count(c) > 1}:
        raise UserError(f"output.columns names {sorted(duplicates)[0]!r} twice")


def _check_scale(scale: ScaleOut) -> None:
    count = scale.num_replicas
    if isinstance(count, str) and count != "auto":
        raise UserError(
            f"scale.num_replicas={count} is neither a number nor auto (as many as the cluster has "
            "room for)"
        )
    if scale.mode is Scale.local and count != 1:
        raise UserError(
            f"scale.num_replicas={count}, but scale=local runs one engine; type scale=ray "
            f"scale.num_replicas={count}"
        )


def _check_sampling(sampling: Sampling) -> None:
    if isinstance(sampling.max_tokens, str) and sampling.max_tokens != "auto":
        raise UserError(
            f"sampling.max_tokens={sampling.max_tokens} is neither a number nor auto (as long as "
            "the context allows)"
        )
    for stop in sampling.stop:
        if not stop:
            raise UserError("sampling.stop has an empty text, which would end every response")
        if stop.replace("\\n", "").replace("\\t", "") == "":
            raise UserError(
                f"sampling.stop={stop} is a backslash and a letter, not a line break; type "
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
            f"model.reasoning_tags={tags} must be two different texts that open and close the "
            "reasoning, such as ['<think>','</think>']"
        )
    if parser is not None and settings.engine.backend is Backend.scripted:
        raise UserError(
            f"output.reasoning_parser={parser} is vLLM's and needs a model's tokenizer, which the "
            "scripted engine does not have; leave it out to split by model.reasoning_tags"
        )


def _check_artifact(settings: Settings) -> None:
    """Refuse to upload what is on a store: it would be downloaded first."""
    scored = settings.postprocess.output.path if settings.postprocess.scorer else None
    given = {"output.path": settings.output.path, "postprocess.output.path": scored}
    for key, path in given.items():
        if settings.tracking.artifact and path and is_remote(path):
            raise UserError(
                f"tracking.artifact=true uploads files of this machine, and {key}={path} is on a "
                "store; leave tracking.artifact out (the wandb run says where the output is)"
            )


def _check_prompt_side(data: Data, model: Model) -> None:
    """Refuse settings of prompts that other settings make ineffective."""
    carried = ("system_prompt", "tools", "tools_key")  # only by chats
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
            "data.system_prompt_mode=replace needs a system prompt; type data.system_prompt= too"
        )
    if data.last_answer is not LastAnswer.auto:
        odd = "prompt_format=tokens" if data.prompt_format is PromptFormat.tokens else None
        is_text = data.template is not None and data.prompt_format is PromptFormat.auto
        if odd or is_text:
            raise UserError(
                f"data.last_answer={data.last_answer.name} is for chats, and "
                f"data.{odd or 'template'} makes no chats; leave one of them out"
            )
    if data.apply_chat_template is Template.never and makes_chats:
        raise UserError(
            f"data.{makes_chats[0]} reaches the model only through its chat template, and "
            "data.apply_chat_template=never; leave one of them out"
        )
    if "tools" in model.chat_template_kwargs and {"tools", "tools_key"} & set(makes_chats):
        raise UserError(
            "model.chat_template_kwargs.tools and data.tools set the same; leave the first out"
        )


def _check_extras(settings: Settings) -> None:
    """Refuse a setting that is in `extra` as well: it would have two values."""
    for section in ("sampling", "engine"):
        typed = {k.rsplit(".", 1)[-1] for k in keys() if k.startswith(section + ".")}
        if section == "engine" and settings.engine.extra.get("data_parallel_size", 1) != 1:
            raise UserError(
                "engine.extra.data_parallel_size is for vLLM's servers, which share a model's "
                "experts among engines; for a dense model type scale=ray scale.num_replicas=N, and "
                "see docs/replicas.md for a mixture of experts"
            )
        clash = sorted((typed | set(VLLM_NAMES[section])) & set(getattr(settings, section).extra))
        if not clash:
            continue
        key = VLLM_NAMES[section].get(clash[0], f"{section}.{clash[0]}")
        advice = f"is also a setting; type {key}=... instead" if key else "is set by rollout"
        raise UserError(f"{section}.extra.{clash[0]} {advice}")

"""The rules between settings, and their ranges: checked before anything else is."""

from rollout.config.schema import MAX_INT, check_finite, check_range, get
from rollout.config.sections.data import Data, PromptFormat, SystemPromptMode, Template
from rollout.config.sections.engine import DTYPES, KV_CACHE_DTYPES, Backend
from rollout.config.sections.model import Model
from rollout.config.sections.prepare import LastAnswer
from rollout.config.sections.sampling import Sampling
from rollout.config.settings import Settings, keys
from rollout.errors import UserError, did_you_mean

# The same thing under the name vLLM gives it -> our key; None: not the user's.
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

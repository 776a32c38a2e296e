"""Prompts encoded by the engine's own code, without an engine."""

from planned_prompts import asked

from rollout.errors import RequestRefused, UserError


def theirs(directory, contents, chat_template=None, **variables):
    """Return what the engine would send, encoded by its own code with transformers' tokenizer."""
    from transformers import AutoTokenizer

    from rollout.engines.vllm.encoding import Encoder

    tokenizer = AutoTokenizer.from_pretrained(directory)
    encoder = Encoder(renderer_of(directory, tokenizer), tokenizer, str(directory), len(tokenizer))
    encoded = []
    for content in contents:
        try:
            encoded.append(encoder.encode(asked(content), chat_template, variables))
        except (RequestRefused, UserError):
            encoded.append(None)
    return encoded


def renderer_of(directory, tokenizer):
    """Return vLLM's renderer without a model, with the configuration it reads of a text model."""
    from types import SimpleNamespace

    from vllm.renderers.hf import HfRenderer

    names = ("tokenizer_revision", "code_revision", "revision", "multimodal_config")
    renderer = HfRenderer.__new__(HfRenderer)
    renderer.tokenizer, renderer.use_unified_vision_chunk = tokenizer, False
    renderer.model_config = SimpleNamespace(
        **dict.fromkeys(names),
        tokenizer=str(directory),
        model=str(directory),
        trust_remote_code=False,
        enable_prompt_embeds=False,
        is_multimodal_model=False,
        hf_config=SimpleNamespace(model_type="qwen3"),
    )
    return renderer

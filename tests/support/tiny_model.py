"""A random two-layer Qwen3 with a byte-level tokenizer: real vLLM in seconds, with random output.

The tokenizer puts a BOS before every string, and the chat template writes another one, so a chat
that is tokenized carelessly has two.
"""

from pathlib import Path

CHAT_TEMPLATE = (
    "{{ '<s>' }}{% for m in messages %}"
    "{% if m.role not in ['system', 'user', 'assistant', 'tool'] %}"
    "{{ raise_exception('unknown role ' ~ m.role) }}{% endif %}"
    "{{ '<|' ~ m.role ~ '|>' ~ m.content }}"
    "{% if not loop.last or add_generation_prompt %}{{ '<|end|>' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
SPECIALS = ["<s>", "</s>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"]


def make_tokenizer(directory: Path) -> int:
    """Save the tokenizer; return its vocabulary size."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: i for i, token in enumerate([*SPECIALS, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.add_special_tokens(SPECIALS)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 0)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", chat_template=CHAT_TEMPLATE
    )
    fast.save_pretrained(directory)
    return len(vocab)


def make_tiny_model(directory: Path, max_position_embeddings: int = 512, **config) -> Path:
    """Save a random model with its tokenizer in `directory` and return the path."""
    import torch
    from transformers import GenerationConfig, Qwen3Config, Qwen3ForCausalLM

    directory.mkdir(parents=True, exist_ok=True)
    vocab_size = make_tokenizer(directory)
    torch.manual_seed(0)
    shape = dict(
        vocab_size=vocab_size,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        max_position_embeddings=max_position_embeddings,
        bos_token_id=0,
        eos_token_id=1,
    )
    model = Qwen3ForCausalLM(Qwen3Config(**(shape | config))).to(torch.bfloat16)
    model.generation_config = GenerationConfig(
        do_sample=True, temperature=0.6, top_k=20, bos_token_id=0, eos_token_id=1
    )
    model.save_pretrained(directory)
    return directory


if __name__ == "__main__":
    import sys

    print(make_tiny_model(Path(sys.argv[1])))


def words(model, **more):
    given = {
        "model.model_path": model,
        "engine": "cpu",
        "engine.kv_cache_gib": 0.25,
        "sampling.n_samples": 2,
        "sampling.max_tokens": 12,
        "tracking": "none",
    } | more
    return [f"{key}={value}" for key, value in given.items()]

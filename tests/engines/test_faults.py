"""The engine's messages, as seen or read in its source, and the texts they are turned into."""

import pytest

from rollout.engines.vllm.faults import explain_load
from rollout.errors import EngineError, UserError

SEEN = [
    (
        "Please pass the argument `trust_remote_code=True` to allow custom code to be run.",
        "model.trust_remote_code=true",
    ),
    ("Model architectures ['Mine'] are not supported for now. Supported: ...", "['Mine']"),
    (
        "The checkpoint you are trying to load has model type `martian` but Transformers does "
        "not recognize this architecture.",
        "'martian'",
    ),
    (
        "Bfloat16 is only supported on GPUs with compute capability of at least 8.0. Your Tesla "
        "T4 GPU has compute capability 7.5.",
        "engine.dtype=float16",
    ),
    (
        "To serve at least one request with the model's max seq len (40960), (5.62 GiB KV cache "
        "is needed, which is larger than the available KV cache memory (2.0 GiB). Based on the "
        "available memory, the estimated maximum model length is 14563. Try increasing ...",
        "engine.max_model_len=14560",
    ),
    (
        "To serve at least one request with the model's max seq len (512), (0.1 GiB KV cache is "
        "needed, which is larger than the available KV cache memory (0.0 GiB). Try increasing",
        "one request of 512 tokens",
    ),
    (
        "User-specified max_model_len (5000) is greater than the derived max_model_len "
        "(max_position_embeddings=512 or model_max_length=None in model's config.json).",
        "engine.max_model_len=512",
    ),
    (
        "max_num_batched_tokens (100) is smaller than max_model_len (512). This effectively "
        "limits the maximum sequence length",
        "engine.max_num_batched_tokens=512",
    ),
    (
        "Free memory on device cuda:0 (12.3/79.2 GiB) on startup is less than desired GPU memory "
        "utilization (0.9, 71.3 GiB).",
        "only 12.3 of 79.2 GiB",
    ),
    (
        "Available memory on node 0 (9.9/15.84 GiB) on kv cache allocation is less than requested "
        "memory for kv (60.0 GiB). Decrease --kv-cache-memory-bytes",
        "9.9 are free",
    ),
    ("No available memory for the cache blocks. Try", "engine.gpu_memory_utilization=0.95"),
    ("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has", "out of memory"),
    (
        "Total number of attention heads (14) must be divisible by tensor parallel size (4).",
        "14 attention heads",
    ),
    ("Error while deserializing header: incomplete metadata", "damaged or cut short"),
    ("The size of tensor a (96) must match the size of tensor b (64)", "don't fit config.json"),
]


@pytest.mark.parametrize(("message", "says"), SEEN, ids=[says for _, says in SEEN])
def test_a_known_fault_says_what_to_type(tmp_path, message, says):
    error = explain_load(ValueError(message), "m", "bfloat16", tmp_path / "log")
    assert isinstance(error, UserError)
    assert says in str(error)
    assert len(str(error).splitlines()) == 1


def test_an_unknown_fault_keeps_its_own_text_and_names_the_log(tmp_path):
    error = explain_load(RuntimeError("odd"), "m", "bfloat16", tmp_path / "engine.log")
    assert isinstance(error, EngineError)
    assert "odd" in str(error)
    assert "engine.log" in str(error)


def test_the_cause_is_looked_up_where_the_core_wrote_it(tmp_path):
    log = tmp_path / "engine.log"
    log.write_text("(EngineCore pid=7) ERROR torch.OutOfMemoryError: CUDA out of memory.\n")
    error = RuntimeError("Engine core initialization failed. See root cause above.")
    assert "out of memory" in str(explain_load(error, "m", "bfloat16", log))

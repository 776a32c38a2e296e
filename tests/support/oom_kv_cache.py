"""Messages when nothing is left for the KV cache, or too little for one full-length request."""

from oom_parts import CUDA_TAIL, ISSUES, SOURCE, TAIL, Message, traceback

# Nothing is left for the KV cache.

CONSERVING = "See https://docs.vllm.ai/en/latest/configuration/conserving_memory/ for more details."
NO_KV_CACHE = (
    Message(
        "ValueError: No available memory for the cache blocks. Try increasing "
        "`gpu_memory_utilization` when initializing the engine.",
        "no_kv_cache",
        {},
        f"{ISSUES}/10439",
    ),
    Message(
        "(EngineCore_DP0 pid=3584999) ERROR 08-19 05:56:57 [core.py:1346] ValueError: No available "
        "memory for the cache blocks. Try increasing `gpu_memory_utilization` when initializing "
        "the engine (this flag also controls CPU memory reservation on the CPU backend, despite "
        "its name). " + CONSERVING,
        "no_kv_cache",
        {},
        f"{ISSUES}/53013",
    ),
    Message(
        "(EngineCore_0 pid=5839) INFO 08-20 18:04:22 [gpu_worker.py:276] Available KV cache "
        "memory: -2.14 GiB\n"
        "(EngineCore_0 pid=5839) ERROR 08-20 18:04:22 [core.py:700] EngineCore failed to start.\n"
        "(EngineCore_0 pid=5839) ERROR 08-20 18:04:22 [core.py:700] ValueError: No available "
        "memory for the cache blocks. Try increasing `gpu_memory_utilization` when initializing "
        "the engine.",
        "no_kv_cache",
        {"available_gib": -2.14},
        f"{ISSUES}/23278",
    ),
    Message(
        "ValueError: Cannot auto-fit max_model_len: not enough GPU memory available to serve even "
        "a single token. Try increasing `gpu_memory_utilization`.",
        "no_kv_cache",
        {},
        SOURCE + "v1/core/kv_cache_utils.py::_auto_fit_max_model_len",
    ),
    # torch's message while the cache is allocated: the requested size was too large.
    Message(
        traceback(
            "vllm/v1/worker/gpu_worker.py:538:initialize_from_config",
            "vllm/v1/worker/gpu_model_runner.py:6842:initialize_kv_cache",
        )
        + "torch.OutOfMemoryError: HIP out of memory. Tried to allocate 12.95 GiB. GPU 0 has a "
        "total capacity of 127.00 GiB of which 18.55 GiB is free. Of the allocated memory 99.37 "
        "GiB is allocated by PyTorch, and 121.80 MiB is reserved by PyTorch but unallocated. "
        + TAIL,
        "no_kv_cache",
        {"tried_gib": 12.95, "total_gib": 127.0, "free_gib": 18.55},
        "https://github.com/lemonade-sdk/vllm-rocm/issues/5",
        "kv",
    ),
    Message(
        traceback(
            "vllm/v1/worker/gpu_worker.py:853:initialize_from_config",
            "vllm/v1/worker/gpu/model_runner.py:605:initialize_kv_cache",
        )
        + "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.88 GiB. GPU 3 has a "
        "total capacity of 21.96 GiB of which 1.29 GiB is free. Including non-PyTorch memory, "
        "this process has 0 bytes memory in use. Of the allocated memory 19.02 GiB is allocated "
        "by PyTorch, and 1.32 GiB is reserved by PyTorch but unallocated. " + CUDA_TAIL,
        "no_kv_cache",  # torch reads "0 bytes" in a container
        {"tried_gib": 1.88, "total_gib": 21.96, "free_gib": 1.29, "in_use_gib": 0.0},
        "https://github.com/rhymes-ai/Aria/issues/24 (its frames are vLLM 0.32's)",
        "kv",
    ),
)


# One request at full length does not fit.

TRY = (
    "Try increasing `gpu_memory_utilization` or decreasing `max_model_len` when initializing the "
    "engine."
)
KV_CACHE_TOO_SMALL = (
    Message(
        "ValueError: The model's max seq len (32768) is larger than the maximum number of tokens "
        "that can be stored in KV cache (7344). " + TRY,
        "kv_cache_too_small",
        {"max_model_len": 32768, "estimated_max_model_len": 7344},
        "https://github.com/QwenLM/Qwen3/issues/295",
    ),
    Message(
        "The model's max seq len (4096) is larger than the maximum number of tokens that can be "
        "stored in KV cache (3664). " + TRY,
        "kv_cache_too_small",
        {"max_model_len": 4096, "estimated_max_model_len": 3664},
        f"{ISSUES}/2418",
    ),
    Message(
        "ERROR 04-05 01:12:55 [core.py:390] ValueError: To serve at least one request with the "
        "models's max seq len (1048576), (24.00 GiB KV cache is needed, which is larger than the "
        "available KV cache memory (9.97 GiB). " + TRY,
        "kv_cache_too_small",
        {"needed_gib": 24.0, "available_gib": 9.97, "max_model_len": 1048576},
        f"{ISSUES}/16118",
    ),
    Message(
        "(EngineCore_DP0 pid=64528) ERROR 11-18 13:44:09 [core.py:842] ValueError: To serve at "
        "least one request with the models's max seq len (40960), (4.38 GiB KV cache is needed, "
        "which is larger than the available KV cache memory (4.00 GiB). Based on the available "
        "memory, the estimated maximum model length is 37376. " + TRY,
        "kv_cache_too_small",
        {
            "needed_gib": 4.38,
            "available_gib": 4.0,
            "max_model_len": 40960,
            "estimated_max_model_len": 37376,
        },
        f"{ISSUES}/29233",
    ),
    Message(
        "(EngineCore_DP0 pid=1094) ValueError: To serve at least one request with the models's "
        "max seq len (262144), (24.0 GiB KV cache is needed, which is larger than the available "
        "KV cache memory (3.18 GiB). Based on the available memory, the estimated maximum model "
        "length is 34736. " + TRY + " " + CONSERVING,
        "kv_cache_too_small",
        {
            "needed_gib": 24.0,
            "available_gib": 3.18,
            "max_model_len": 262144,
            "estimated_max_model_len": 34736,
        },
        f"{ISSUES}/34076",
    ),
    Message(
        "ValueError: To serve at least one request with the model's max seq len (100000), (4.26 "
        "GiB KV cache is needed, which is larger than the available KV cache memory (4.25 GiB). "
        "Based on the available memory, the estimated maximum model length is 99760. Try "
        "increasing `gpu_memory_utilization` (which also controls CPU memory on the CPU backend) "
        "or decreasing `max_model_len` when initializing the engine. " + CONSERVING,
        "kv_cache_too_small",
        {
            "needed_gib": 4.26,
            "available_gib": 4.25,
            "max_model_len": 100000,
            "estimated_max_model_len": 99760,
        },
        "https://github.com/SergiioB/intel-arc-pro-b70-inference-cookbook/issues/4 (it breaks off "
        "before the estimate, which is made up)",
    ),
    Message(
        "ValueError: To serve at least one request with the model's max seq len (512), (0.1 GiB KV "
        "cache is needed, which is larger than the available KV cache memory (0.0 GiB). Try "
        "increasing `gpu_memory_utilization` (which also controls CPU memory on the CPU backend) "
        "or decreasing `max_model_len` when initializing the engine. " + CONSERVING,
        "kv_cache_too_small",
        {"needed_gib": 0.1, "available_gib": 0.0, "max_model_len": 512},
        SOURCE + "v1/core/kv_cache_utils.py::_check_enough_kv_cache_memory (figures made up)",
    ),
)

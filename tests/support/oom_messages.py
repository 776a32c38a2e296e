"""What vLLM, torch and their libraries say when memory is short, and what only looks like it.

The words are the programs' own, with the figures of the report or source that `where` names.
Tracebacks are cut to the frames that tell the stage, their paths set to one site-packages; log
prefixes are kept where they are part of the difficulty. `stage` is where a runner is when it
reads the text; "any" means that the text alone says it. Sizes printed in MiB or KiB stand in
`numbers` as GiB, rounded to four places.
"""

from dataclasses import dataclass, field

SITE = "/usr/local/lib/python3.12/dist-packages"
ISSUES = "https://github.com/vllm-project/vllm/issues"
PULLS = "https://github.com/vllm-project/vllm/pull"
SOURCE = "vLLM 0.32 source: "
MEMORY_NOTES = (
    " See documentation for Memory Management "
    " (https://pytorch.org/docs/stable/notes/cuda.html#environment-variables)"
)
RESERVED = "If reserved but unallocated memory is large try setting "
AVOID = "=expandable_segments:True to avoid fragmentation. "
CUDA_TAIL = RESERVED + "PYTORCH_CUDA_ALLOC_CONF" + AVOID + MEMORY_NOTES  # torch 2.2 to 2.9
TAIL = RESERVED + "PYTORCH_ALLOC_CONF" + AVOID + MEMORY_NOTES  # since then


@dataclass(frozen=True)
class Message:
    text: str
    kind: str
    numbers: dict[str, float | int] = field(default_factory=dict)
    where: str = ""
    stage: str = "any"


def traceback(*frames: str) -> str:
    """The head of a traceback; a frame is "path:line:function"."""
    lines = ["Traceback (most recent call last):"]
    for frame in frames:
        path, line, function = frame.split(":")
        lines.append(f'  File "{SITE}/{path}", line {line}, in {function}')
    return "\n".join(lines) + "\n"


def logged(prefix: str, text: str) -> str:
    """The text as a core or a worker writes it: a prefix on every line."""
    return "\n".join(f"{prefix} {line}" for line in text.splitlines())


# Not enough memory free at the start.

NO_FREE_MEMORY = (
    Message(
        "ValueError: Free memory on device (59.32/79.15 GiB) on startup is less than desired GPU "
        "memory utilization (0.9, 71.24 GiB). Decrease GPU memory utilization or reduce GPU "
        "memory used by other processes.",
        "no_free_memory",
        {"free_gib": 59.32, "total_gib": 79.15, "utilization": 0.9},
        "https://github.com/ovg-project/kvcached/issues/29",
    ),
    Message(
        "(EngineCore_DP0 pid=6940) ValueError: Free memory on device cuda:1 (19.77/22.05 GiB) on "
        "startup is less than desired GPU memory utilization (0.9, 19.84 GiB). Decrease GPU "
        "memory utilization or reduce GPU memory used by other processes.",
        "no_free_memory",
        {"free_gib": 19.77, "total_gib": 22.05, "utilization": 0.9},
        "https://github.com/pytorch/pytorch/issues/175666",
    ),
    Message(
        "ValueError: Free memory on device (67.24/79.25 GiB) on startup is less than desired GPU "
        "memory utilization (0.9, 71.33 GiB). Decrease GPU memory utilization or reduce GPU "
        "memory used by other processes.",
        "no_free_memory",
        {"free_gib": 67.24, "total_gib": 79.25, "utilization": 0.9},
        "https://github.com/ovg-project/kvcached/issues/110",
    ),
    Message(
        "ValueError: Free memory on device (6.44/11.63 GiB) on startup is less than desired GPU "
        "memory utilization (0.9, 10.47 GiB). Decrease GPU memory utilization or reduce GPU "
        "memory used by other processes.",
        "no_free_memory",
        {"free_gib": 6.44, "total_gib": 11.63, "utilization": 0.9},
        f"{ISSUES}/27934",
    ),
    Message(
        "ValueError: Externally held weights on device cuda:0 (74.5/79.25 GiB) exceed the desired "
        "GPU memory utilization (0.92, 72.91 GiB). Increase GPU memory utilization or reduce GPU "
        "memory used by other processes.",
        "no_free_memory",
        {"total_gib": 79.25, "utilization": 0.92},
        SOURCE + "v1/worker/utils.py::request_memory (figures made up)",
    ),
    Message(
        "ValueError: Free memory on device cuda:0 (10.5/79.25 GiB) on startup is less than the "
        "engine's budget after excluding external process's weights (0.92, 57.91 GiB). Decrease "
        "GPU memory utilization or reduce GPU memory used by other processes.",
        "no_free_memory",
        {"free_gib": 10.5, "total_gib": 79.25, "utilization": 0.92},
        SOURCE + "v1/worker/utils.py::request_memory (figures made up)",
    ),
    Message(
        traceback(
            "vllm/v1/worker/gpu_worker.py:436:init_device",
            "vllm/distributed/device_communicators/pynccl.py:139:__init__",
        )
        + "torch.distributed.DistBackendError: NCCL error in: /pytorch/torch/csrc/distributed/"
        "c10d/ProcessGroupNCCL.cpp:3690, unhandled cuda error (run with NCCL_DEBUG=INFO for "
        "details), NCCL version 2.28.9\n"
        "ncclUnhandledCudaError: Call to CUDA function failed.\n"
        "Last error:\n"
        "Cuda failure 2 'out of memory'",
        "no_free_memory",
        {},
        "torch source: ProcessGroupNCCL.cpp (the versions and frames made up)",
        "load",
    ),
    Message(
        "AssertionError: Error in memory profiling. Initial free memory 82.94 GiB, current free "
        "memory 90.17 GiB. This happens when other processes sharing the same container release "
        "GPU memory while vLLM is profiling during initialization. To fix this, ensure consistent "
        "GPU memory allocation or isolate vLLM in its own container.",
        "profiling_race",
        {"initial_free_gib": 82.94, "free_gib": 90.17},
        f"{ISSUES}/56830",
    ),
    Message(
        "AssertionError: Error in memory profiling. Initial free memory 21.3 GiB, current free "
        "memory 22.05 GiB. This happens when other processes sharing the same container release "
        "GPU memory while vLLM is profiling during initialization. To fix this, ensure consistent "
        "GPU memory allocation or isolate vLLM in its own container.",
        "profiling_race",
        {"initial_free_gib": 21.3, "free_gib": 22.05},
        SOURCE + "v1/worker/gpu_worker.py::Worker.determine_available_memory (figures made up)",
    ),
)

# The weights do not fit.

WEIGHTS = (
    Message(
        "(EngineCore pid=36704) ERROR 04-07 15:58:28 [gpu_model_runner.py:4818] Failed to load "
        "model - not enough GPU memory. Try lowering --gpu-memory-utilization to free memory for "
        "weights, increasing --tensor-parallel-size, or using --quantization. See "
        "https://docs.vllm.ai/en/latest/configuration/conserving_memory/ for more tips. (original "
        "error: CUDA out of memory. Tried to allocate 112.00 MiB. GPU 0 has a total capacity of "
        "31.36 GiB of which 53.06 MiB is free. Including non-PyTorch memory, this process has "
        "31.30 GiB memory in use. Of the allocated memory 30.35 GiB is allocated by PyTorch, and "
        "319.13 MiB is reserved by PyTorch but unallocated. " + TAIL + ")",
        "weights",
        {"tried_gib": 0.1094, "total_gib": 31.36, "free_gib": 0.0518, "in_use_gib": 31.30},
        SOURCE + "v1/worker/gpu_model_runner.py::GPUModelRunner.load_model (figures of a 5090)",
    ),
    Message(
        "Failed to load model - not enough GPU memory. Try lowering --gpu-memory-utilization to "
        "free memory for weights, increasing --tensor-parallel-size, or using --quantization. "
        "See https://docs.vllm.ai/en/latest/configuration/conserving_memory/ for more tips. "
        "(original error: CUDA out of memory. Tried to allocate 768.00 MiB. GPU 0 has a total "
        "capacity of 95.01 GiB of which 438.31 MiB is free. Including non-PyTorch memory, this "
        "process has 94.57 GiB memory in use.)",
        "weights",
        {"tried_gib": 0.75, "total_gib": 95.01, "free_gib": 0.428, "in_use_gib": 94.57},
        SOURCE + "v1/worker/gpu_model_runner.py::GPUModelRunner.load_model (RTX PRO 6000)",
    ),
    Message(
        logged(
            "ERROR 04-09 05:39:54 [core.py:390]",
            traceback(
                "vllm/v1/worker/gpu_worker.py:162:load_model",
                "vllm/model_executor/models/llama.py:254:__init__",
                "vllm/model_executor/layers/linear.py:189:create_weights",
            )
            + "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 350.00 MiB. GPU 0 "
            "has a total capacity of 23.68 GiB of which 212.81 MiB is free.",
        ),
        "weights",
        {"tried_gib": 0.3418, "total_gib": 23.68, "free_gib": 0.2078},
        f"{ISSUES}/16343",
        "load",
    ),
    Message(
        traceback(
            "vllm/v1/worker/gpu/model_runner.py:378:load_model",
            "vllm/model_executor/model_loader/utils.py:74:initialize_model",
        )
        + "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.37 GiB. GPU 0 has a "
        "total capacity of 79.15 GiB of which 512.00 MiB is free. Including non-PyTorch memory, "
        "this process has 78.36 GiB memory in use. Of the allocated memory 77.61 GiB is allocated "
        "by PyTorch, and 13.03 MiB is reserved by PyTorch but unallocated. " + TAIL,
        "weights",
        {"tried_gib": 2.37, "total_gib": 79.15, "free_gib": 0.5, "in_use_gib": 78.36},
        SOURCE + "v1/worker/gpu/model_runner.py::GPUModelRunner.load_model (figures made up)",
    ),
    Message(
        "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.50 GiB. GPU 0 has a "
        "total capacity of 79.15 GiB of which 147.75 MiB is free. Process 483452 has 78.98 GiB "
        "memory in use. Of the allocated memory 78.17 GiB is allocated by PyTorch, and 13.03 MiB "
        "is reserved by PyTorch but unallocated. " + CUDA_TAIL,
        "weights",
        {"tried_gib": 1.5, "total_gib": 79.15, "free_gib": 0.1443, "in_use_gib": 78.98},
        f"{ISSUES}/4408",
        "load",
    ),
    Message(
        "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 224.00 MiB (GPU 0; "
        "10.73 GiB total capacity; 9.85 GiB already allocated; 46.44 MiB free; 9.86 GiB reserved "
        "in total by PyTorch) If reserved memory is >> allocated memory try setting "
        "max_split_size_mb to avoid fragmentation.",
        "weights",
        {"tried_gib": 0.2188, "total_gib": 10.73, "free_gib": 0.0454},
        f"{ISSUES}/188",
        "load",
    ),
    Message(
        "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 3.50 GiB. GPU 0 has a "
        "total capacty of 23.69 GiB of which 3.09 GiB is free. Including non-PyTorch memory, this "
        "process has 20.57 GiB memory in use. Of the allocated memory 20.13 GiB is allocated by "
        "PyTorch, and 755.50 KiB is reserved by PyTorch but unallocated. If reserved but "
        "unallocated memory is large try setting max_split_size_mb to avoid fragmentation.  See "
        "documentation for Memory Management and PYTORCH_CUDA_ALLOC_CONF",
        "weights",  # "capacty": torch 2.1's own spelling
        {"tried_gib": 3.5, "total_gib": 23.69, "free_gib": 3.09, "in_use_gib": 20.57},
        f"{ISSUES}/2140",
        "load",
    ),
    Message(
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 224.00 MiB. GPU 0 has a "
        "total capacity of 11.53 GiB of which 187.75 MiB is free.",
        "weights",
        {"tried_gib": 0.2188, "total_gib": 11.53, "free_gib": 0.1833},
        f"{ISSUES}/12030",
        "load",
    ),
    Message(
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 270.00 MiB. GPU 1 has a "
        "total capacity of 21.98 GiB of which 156.94 MiB is free. Including non-PyTorch memory, "
        "this process has 21.80 GiB memory in use. Of the allocated memory 21.42 GiB is allocated "
        "by PyTorch, and 24.12 MiB is reserved by PyTorch but unallocated. " + CUDA_TAIL,
        "weights",
        {"tried_gib": 0.2637, "total_gib": 21.98, "free_gib": 0.1533, "in_use_gib": 21.80},
        f"{ISSUES}/17835",
        "load",
    ),
)

# The trial pass does not fit.

WARM_UP = (
    "Please try lowering `max_num_seqs` or `gpu_memory_utilization` when initializing the engine."
)
PROFILE = (
    Message(
        "RuntimeError: CUDA out of memory occurred when warming up sampler with 1024 dummy "
        "requests. " + WARM_UP,
        "profile",
        {"requests": 1024},
        f"{ISSUES}/14452",
    ),
    Message(
        "RuntimeError: CUDA out of memory occurred when warming up sampler with 256 dummy "
        "requests. \n" + WARM_UP,
        "profile",
        {"requests": 256},
        f"{ISSUES}/33920",
    ),
    Message(
        "RuntimeError: CUDA out of memory occurred when warming up pooler (task='embed') with 256 "
        "dummy requests. " + WARM_UP,
        "profile",
        {"requests": 256},
        SOURCE + "v1/worker/gpu_model_runner.py::GPUModelRunner._dummy_pooler_run_task",
    ),
    Message(
        traceback(
            "vllm/v1/worker/gpu_model_runner.py:3217:_dummy_sampler_run",
            "vllm/v1/sample/sampler.py:86:forward",
        )
        + "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 786.00 MiB. GPU 0 has a "
        "total capacity of 79.11 GiB of which 140.75 MiB is free. Process 3270336 has 78.96 GiB "
        "memory in use. Of the allocated memory 68.83 GiB is allocated by PyTorch, with 660.00 "
        "MiB allocated in private pools (e.g., CUDA Graphs), and 331.08 MiB is reserved by "
        "PyTorch but unallocated. " + CUDA_TAIL,
        "profile",  # its "CUDA Graphs" are torch's words for private pools, not the cause
        {"tried_gib": 0.7676, "total_gib": 79.11, "free_gib": 0.1375, "in_use_gib": 78.96},
        f"{ISSUES}/27508",
        "profile",
    ),
    Message(
        "(VllmWorker rank=1 pid=2978) ERROR 03-19 07:27:53 [multiproc_executor.py:375] "
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.74 GiB. GPU 1 has a "
        "total capacity of 23.57 GiB of which 605.88 MiB is free. Process 133288 has 22.97 GiB "
        "memory in use. Of the allocated memory 20.21 GiB is allocated by PyTorch, with 128.00 "
        "MiB allocated in private pools (e.g., CUDA Graphs), and 185.98 MiB is reserved by "
        "PyTorch but unallocated. " + CUDA_TAIL,
        "profile",
        {"tried_gib": 1.74, "total_gib": 23.57, "free_gib": 0.5917, "in_use_gib": 22.97},
        f"{ISSUES}/15105",
        "profile",
    ),
    Message(
        logged(
            "ERROR 03-13 09:00:43 [core.py:330]",
            traceback(
                "vllm/v1/worker/gpu_worker.py:157:determine_available_memory",
                "vllm/v1/worker/gpu_model_runner.py:1392:profile_run",
                "vllm/v1/worker/gpu_model_runner.py:1291:_dummy_sampler_run",
            )
            + "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.16 GiB. GPU 0 has "
            "a total capacity of 7.75 GiB of which 1.17 GiB is free. Including non-PyTorch "
            "memory, this process has 5.02 GiB memory in use. Of the allocated memory 4.81 GiB is "
            "allocated by PyTorch, and 18.97 MiB is reserved by PyTorch but unallocated. "
            + CUDA_TAIL,
        ),
        "profile",  # more is free than was asked for
        {"tried_gib": 1.16, "total_gib": 7.75, "free_gib": 1.17, "in_use_gib": 5.02},
        f"{ISSUES}/12529",
    ),
    Message(
        "RuntimeError: Worker failed with error 'CUDA out of memory. Tried to allocate 1029.51 "
        "GiB. GPU 0 has a total capacity of 79.35 GiB of which 19.23 GiB is free. Process 145882 "
        "has 60.12 GiB memory in use. Of the allocated memory 58.52 GiB is allocated by PyTorch, "
        "and 310.01 MiB is reserved by PyTorch but unallocated. " + CUDA_TAIL + "', please check "
        "the stack trace above for the root cause",
        "profile",
        {"tried_gib": 1029.51, "total_gib": 79.35, "free_gib": 19.23, "in_use_gib": 60.12},
        "https://github.com/MoonshotAI/Kimi-VL/issues/54",
        "profile",
    ),
    Message(
        "ERROR 08-20 03:10:01 [engine.py:467] CUDA out of memory. Tried to allocate 33.75 GiB. "
        "GPU 0 has a total capacity of 44.40 GiB of which 26.88 GiB is free. Including "
        "non-PyTorch memory, this process has 17.52 GiB memory in use. Of the allocated memory "
        "17.03 GiB is allocated by PyTorch, and 6.95 MiB is reserved by PyTorch but unallocated. "
        + CUDA_TAIL,
        "profile",
        {"tried_gib": 33.75, "total_gib": 44.40, "free_gib": 26.88, "in_use_gib": 17.52},
        f"{ISSUES}/23230",
        "profile",
    ),
    Message(
        traceback(
            "vllm/v1/worker/gpu_worker.py:654:determine_available_memory",
            "vllm/v1/worker/gpu_model_runner.py:6133:profile_run",
            "torch/nn/modules/linear.py:134:forward",
        )
        + "RuntimeError: CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling "
        "`cublasCreate(handle)`",
        "profile",  # alone it may also be a bad token id or a broken driver
        {},
        "https://github.com/EleutherAI/lm-evaluation-harness/issues/1689",
        "profile",
    ),
    # A workspace of fixed size, not the device: no utilization helps, smaller batches do.
    Message(
        traceback(
            "vllm/v1/executor/abstract.py:136:determine_available_memory",
            "vllm/v1/worker/gpu_model_runner.py:6133:profile_run",
        )
        + "RuntimeError: Error in function 'aligned_alloc' at "
        "/workspace/include/flashinfer/allocator.h:49: Buffer overflow when allocating memory for "
        "batch_prefill_tmp_v with size 536346624 and alignment 16, but only 413138944 bytes "
        "available in AlignedAllocator. Increase the workspace buffer size.",
        "profile",
        {"tried_gib": 0.4995, "free_gib": 0.3848},
        f"{ISSUES}/40023",
    ),
    Message(
        "flashinfer/data/include/flashinfer/allocator.h:49: Buffer overflow when allocating "
        "memory for batch_prefill_tmp_v with size 283115520 and alignment 16, but only 268435456 "
        "bytes available in AlignedAllocator. Increase the workspace buffer size.",
        "profile",
        {"tried_gib": 0.2637, "free_gib": 0.25},
        f"{ISSUES}/25342",
    ),
    Message(
        "RuntimeError: RuntimeError: Out of workspace memory in AlignedAlloactor",
        "profile",  # the library's own spelling
        {},
        "https://github.com/flashinfer-ai/flashinfer/issues/362",
    ),
)

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
    # torch's own words while the cache is made: the figure asked for was too large.
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
        "no_kv_cache",  # "0 bytes": what torch reads in a container
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

# The CUDA graphs do not fit.

GRAPHS = (
    Message(
        logged(
            "(VllmWorker rank=0 pid=233) ERROR 05-21 09:27:46 [multiproc_executor.py:470]",
            traceback(
                "vllm/v1/worker/gpu_model_runner.py:1650:capture_model",
                "torch/cuda/graphs.py:186:__exit__",
                "torch/cuda/graphs.py:84:capture_end",
            )
            + "RuntimeError: CUDA error: out of memory\n"
            "CUDA kernel errors might be asynchronously reported at some other API call, so the "
            "stacktrace below might be incorrect.\n"
            "For debugging consider passing CUDA_LAUNCH_BLOCKING=1\n"
            "Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.",
        ),
        "graphs",
        {},
        f"{ISSUES}/18446",
    ),
    Message(
        traceback(
            "vllm/compilation/backends.py:681:__call__",
            "torch/cuda/graphs.py:186:__exit__",
            "torch/cuda/graphs.py:84:capture_end",
        )
        + "RuntimeError: CUDA error: out of memory",
        "graphs",
        {},
        f"{ISSUES}/19186",
    ),
    Message(
        traceback(
            "vllm/v1/worker/gpu_worker.py:908:compile_or_warm_up_model",
            "vllm/v1/worker/gpu/model_runner.py:1053:capture_model",
        )
        + "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 136.00 MiB. GPU 0 has a "
        "total capacity of 22.36 GiB of which 120.88 MiB is free.",
        "graphs",
        {"tried_gib": 0.1328, "total_gib": 22.36, "free_gib": 0.118},
        f"{PULLS}/57595",
    ),
    Message(
        logged(
            "(EngineCore_DP0 pid=387) ERROR 03-08 16:44:32 [core.py:1111]",
            traceback(
                "vllm/v1/worker/gpu_model_runner.py:5684:capture_model",
                "vllm/v1/worker/gpu_model_runner.py:5795:_capture_cudagraphs",
                "vllm/v1/worker/gpu_model_runner.py:5741:_warmup_and_capture",
            )
            + "torch.AcceleratorError: CUDA error: out of memory",
        ),
        "graphs",
        {},
        f"{PULLS}/30515 (it breaks off before the error's own line)",
    ),
    Message(
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 MiB. GPU 6 has a total "
        "capacity of 44.53 GiB of which 448.00 KiB is free.",
        "graphs",
        {"tried_gib": 0.002, "total_gib": 44.53, "free_gib": 0.0004},
        f"{ISSUES}/15598",
        "graphs",
    ),
    Message(
        traceback(
            "vllm/v1/worker/gpu_worker.py:908:compile_or_warm_up_model",
            "vllm/v1/worker/gpu_model_runner.py:6482:capture_model",
            "vllm/distributed/device_communicators/pynccl.py:162:all_reduce",
        )
        + "RuntimeError: NCCL error: unhandled cuda error (run with NCCL_DEBUG=INFO for details)\n"
        "enqueue.cc:43 NCCL WARN Cuda failure 'out of memory'",
        "graphs",  # vLLM's line does not name memory, NCCL's own does
        {},
        "https://github.com/NVIDIA/TensorRT-LLM/issues/1670 (its frames are vLLM's)",
        "graphs",
    ),
)

# Between two requests of a run.

ENGINE_DEAD = (
    "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue. See stack trace "
    "(above) for the root cause."
)
RUNNING = (
    Message(
        traceback(
            "vllm/v1/engine/core.py:1209:_process_engine_step",
            "vllm/v1/worker/gpu_model_runner.py:3940:execute_model",
        )
        + "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 50.00 MiB. GPU 0 has a "
        "total capacity of 23.56 GiB of which 56.88 MiB is free\n" + ENGINE_DEAD,
        "running",
        {"tried_gib": 0.0488, "total_gib": 23.56, "free_gib": 0.0555},
        "https://github.com/noonghunna/club-3090/issues/58",
    ),
    Message(
        "(EngineCore pid=229) ERROR 04-19 12:21:04 [core.py:1134] torch.OutOfMemoryError: CUDA out "
        "of memory. Tried to allocate 72.00 MiB. GPU 0 has a total capacity of 31.33 GiB of which "
        "2.56 MiB is free. Including non-PyTorch memory, this process has 31.28 GiB memory in "
        "use. Of the allocated memory 29.83 GiB is allocated by PyTorch, with 18.00 MiB allocated "
        "in private pools (e.g., CUDA Graphs), and 711.09 MiB is reserved by PyTorch but "
        "unallocated. " + RESERVED + "PYTORCH_CUDA_ALLOC_CONF" + AVOID + " See documentation for "
        "Memory Management  (https://docs.pytorch.org/docs/stable/notes/cuda.html"
        "#optimizing-memory-usage-with-pytorch-cuda-alloc-conf)",
        "running",
        {"tried_gib": 0.0703, "total_gib": 31.33, "free_gib": 0.0025, "in_use_gib": 31.28},
        "https://github.com/Sandermage/genesis-vllm-patches/issues/1",
        "run",
    ),
    Message(
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.47 GiB. GPU 0 has a total "
        "capacity of 79.11 GiB of which 1.25 GiB is free. Including non-PyTorch memory, this "
        "process has 0 bytes memory in use. Of the allocated memory 70.03 GiB is allocated by "
        "PyTorch, with 340.00 MiB allocated in private pools (e.g., CUDA Graphs), and 22.16 MiB "
        "is reserved by PyTorch but unallocated. " + CUDA_TAIL,
        "running",
        {"tried_gib": 1.47, "total_gib": 79.11, "free_gib": 1.25, "in_use_gib": 0.0},
        f"{ISSUES}/29049",
        "run",
    ),
    Message(
        "vllm.engine.multiprocessing.MQEngineDeadError: Engine loop is not running. Inspect the "
        "stacktrace to find the original error: OutOfMemoryError('CUDA out of memory. Tried to "
        "allocate 128.00 MiB. GPU 0 has a total capacity of 79.33 GiB of which 16.00 MiB is free. "
        "Process 36891 has 79.29 GiB memory in use. Of the allocated memory 69.59 GiB is allocated "
        "by PyTorch, with 46.00 MiB allocated in private pools (e.g., CUDA Graphs), and 118.89 "
        "MiB is reserved by PyTorch but unallocated. " + CUDA_TAIL + "').",
        "running",
        {"tried_gib": 0.125, "total_gib": 79.33, "free_gib": 0.0156, "in_use_gib": 79.29},
        f"{ISSUES}/15039",
        "run",
    ),
    Message(
        "OutOfMemoryError('CUDA out of memory. Tried to allocate 138.00 MiB. GPU 0 has a total "
        "capacity of 79.15 GiB of which 2.19 MiB is free. Including non-PyTorch memory, this "
        "process has 79.12 GiB memory in use. Of the allocated memory 71.57 GiB is allocated by "
        "PyTorch, with 39.77 MiB allocated in private pools (e.g., CUDA Graphs), and 611.60 MiB "
        "is reserved by PyTorch but unallocated. " + CUDA_TAIL + "')",
        "running",
        {"tried_gib": 0.1348, "total_gib": 79.15, "free_gib": 0.0021, "in_use_gib": 79.12},
        f"{ISSUES}/9290",
        "run",
    ),
    Message(
        traceback(
            "vllm/v1/executor/multiproc_executor.py:1012:worker_busy_loop",
            "vllm/v1/worker/gpu_worker.py:1302:execute_model",
        )
        + "RuntimeError: Triton Error [CUDA]: out of memory",
        "running",
        {},
        "https://github.com/wtdcode/vllm-backport/issues/18",
        "run",
    ),
    Message(
        traceback(
            "vllm/v1/worker/gpu_worker.py:1302:execute_model",
            "torch/nn/modules/linear.py:116:forward",
        )
        + "RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling "
        "`cublasCreate(handle)`",
        "running",
        {},
        "https://github.com/QwenLM/Qwen3/issues/873 (its frames are vLLM's)",
        "run",
    ),
    Message(
        "RuntimeError: CUDA Error: out of memory at /workspace/csrc/cumem_allocator.cpp:62",
        "running",
        {},
        f"{ISSUES}/13941",
        "run",
    ),
    Message(
        "RuntimeError: CUDA driver error: out of memory",
        "running",
        {},
        "torch source: c10/cuda/driver_api.h (C10_CUDA_DRIVER_CHECK)",
        "run",
    ),
    Message(
        "torch.OutOfMemoryError: Allocation on device 0 would exceed allowed memory. (out of "
        "memory)\n"
        "Currently allocated     : 16.08 GiB\n"
        "Requested               : 4.83 GiB\n"
        "Device limit            : 22.20 GiB\n"
        "Free (according to CUDA): 11.12 MiB\n"
        "PyTorch limit (set by user-supplied memory fraction)\n"
        "                        : 22.20 GiB",
        "running",  # torch's other allocator, backend:cudaMallocAsync
        {"tried_gib": 4.83, "total_gib": 22.2, "free_gib": 0.0109},
        "https://github.com/huggingface/text-generation-inference/issues/563",
        "run",
    ),
    Message(
        "torch.OutOfMemoryError: XPU out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total "
        "capacity of 31.86 GiB of which 1.10 GiB is free. Of the allocated memory 29.10 GiB is "
        "allocated by PyTorch, and 310.01 MiB is reserved by PyTorch but unallocated. " + TAIL,
        "running",
        {"tried_gib": 2.0, "total_gib": 31.86, "free_gib": 1.1},
        "torch source: c10/xpu/XPUCachingAllocator.cpp (figures made up)",
        "run",
    ),
)

# The host's memory.

HOST = (
    Message(
        "RuntimeError: [enforce fail at alloc_cpu.cpp:119] err == 0. DefaultCPUAllocator: can't "
        "allocate memory: you tried to allocate 4398046511104 bytes. Error code 12 (Cannot "
        "allocate memory)",
        "host",
        {"tried_gib": 4096.0},
        "https://github.com/tenstorrent/tt-metal/issues/30225",
    ),
    Message(
        "RuntimeError: [enforce fail at alloc_cpu.cpp:73] . DefaultCPUAllocator: can't allocate "
        "memory: you tried to allocate 116813856768 bytes. Error code 12 (Cannot allocate memory)",
        "host",
        {"tried_gib": 108.7914},
        "https://github.com/JingyunLiang/VRT/issues/49",
    ),
    Message(
        "ValueError: Available memory on node 0 (9.9/15.84 GiB) on kv cache allocation is less "
        "than requested memory for kv (60.0 GiB). Decrease --kv-cache-memory-bytes, "
        "VLLM_CPU_KVCACHE_SPACE, or reduce CPU memory used by other processes.",
        "host",
        {"requested_gib": 60.0, "free_gib": 9.9},
        SOURCE + "v1/worker/cpu_worker.py::CPUWorker.determine_available_memory (figures made up)",
    ),
    Message(
        "ValueError: Available memory on node 0 (3.2/15.84 GiB) on kv cache allocation is less "
        "than requested memory for kv (11.87/14.57 GiB). Reduce CPU memory used by other "
        "processes.",
        "host",
        {"requested_gib": 11.87, "free_gib": 3.2},
        SOURCE + "v1/worker/cpu_worker.py::CPUWorker.determine_available_memory (figures made up)",
    ),
    Message(
        "ValueError: Available memory on node 0 (9.9/15.84 GiB) on startup is less than desired "
        "CPU memory utilization (0.92, 14.57 GiB). On the CPU backend, the "
        "`--gpu-memory-utilization` flag controls the fraction of CPU memory reserved (despite "
        "its name). To resolve: decrease `--gpu-memory-utilization` (e.g. "
        "`--gpu-memory-utilization 0.5`) or reduce CPU memory used by other processes.",
        "host",
        {"requested_gib": 14.57, "free_gib": 9.9},
        SOURCE + "v1/worker/cpu_worker.py::CPUWorker.init_device (figures made up)",
    ),
    Message(
        "RuntimeError: unable to mmap 4932307408 bytes from file "
        "</models/m/model-00001-of-00002.safetensors>: Cannot allocate memory (12)",
        "host",
        {"tried_gib": 4.5936},
        "torch source: aten/src/ATen/MapAllocator.cpp (the file made up)",
        "load",
    ),
    Message(
        "OSError: [Errno 12] Cannot allocate memory",
        "host",
        {},
        "Python: OSError of errno 12 (fork, mmap)",
    ),
    Message(
        "terminate called after throwing an instance of 'std::bad_alloc'\n"
        "  what():  std::bad_alloc",
        "host",
        {},
        "libstdc++: an uncaught std::bad_alloc",
    ),
    Message(
        traceback(
            "vllm/model_executor/model_loader/weight_utils.py:700:safetensors_weights_iterator"
        )
        + "MemoryError",
        "host",
        {},
        "Python: MemoryError, which carries no words",
        "load",
    ),
    Message(
        "(raylet) node_manager.cc:3084: 1 Workers (tasks / actors) killed due to memory pressure "
        "(OOM), 0 Workers crashed due to other reasons at node",
        "host",
        {},
        f"{ISSUES}/738",
    ),
)

# A process ended by the system, most often for its memory.

CORE_FAILED = "RuntimeError: Engine core initialization failed. See root cause above. "
KILLED = (
    Message(
        CORE_FAILED + "Failed core proc(s): {'EngineCore': -9}",
        "killed",
        {"signal": 9},
        SOURCE + "v1/engine/utils.py::wait_for_engine_startup",
        "load",
    ),
    Message(
        CORE_FAILED + "Failed core proc(s): {'EngineCore_0': -9}",
        "killed",
        {"signal": 9},
        f"{ISSUES}/21882 (the name before 0.11, there with exit code 1)",
        "load",
    ),
    Message(
        CORE_FAILED + "Failed core proc(s): {'EngineCore_DP0': -9, 'EngineCore_DP1': -9}",
        "killed",
        {"signal": 9},
        SOURCE + "v1/engine/utils.py::CoreEngineProcManager.__init__ (the names with DP)",
        "load",
    ),
    Message(
        "ERROR 06-03 13:41:07 [multiproc_executor.py:316] Worker proc VllmWorker-0 died "
        "unexpectedly (exit code: -9), shutting down executor.",
        "killed",
        {"signal": 9},
        SOURCE + "v1/executor/multiproc_executor.py::MultiprocExecutor.start_worker_monitor",
    ),
    Message(
        "RuntimeError: its core's process was killed by signal 9",
        "killed",
        {"signal": 9},
        "rollout/engines/vllm/engine.py::_watch_core",
        "run",
    ),
    Message(
        "RuntimeError: Process EngineCore (PID: 4711) died with exit code -9",
        "killed",
        {"signal": 9},
        SOURCE + "v1/utils.py::wait_for_completion_or_failure",
        "run",
    ),
)

# None of these is about memory that is short.

NONE = (
    Message(
        "torch.AcceleratorError: CUDA error: an illegal memory access was encountered\n"
        "CUDA kernel errors might be asynchronously reported at some other API call, so the "
        "stacktrace below might be incorrect.",
        "none",
        {},
        f"{ISSUES}/28714",
    ),
    Message(
        "RuntimeError: CUDA error: device-side assert triggered",
        "none",
        {},
        "torch source: c10/cuda/CUDAException.cpp",
    ),
    Message(
        "RuntimeError: NCCL error: unhandled cuda error (run with NCCL_DEBUG=INFO for details)",
        "none",
        {},
        f"{ISSUES}/21661",
    ),
    Message(
        "triton.runtime.errors.OutOfResources: out of resource: shared memory, Required: 81920, "
        "Hardware limit: 65536. Reducing block sizes or `num_stages` may help.",
        "none",
        {},
        f"{ISSUES}/36802",
    ),
    Message(
        "torch.distributed.DistNetworkError: The server socket has failed to listen on any local "
        "network address. port: 29500, useIpv6: false, code: -98, name: EADDRINUSE, message: "
        "address already in use",
        "none",
        {},
        "torch source: torch/csrc/distributed/c10d/socket.cpp",
    ),
    Message(
        "OSError: [Errno 98] Address already in use", "none", {}, "Python: OSError of errno 98"
    ),
    Message(
        "ValueError: User-specified max_model_len (5000) is greater than the derived "
        "max_model_len (max_position_embeddings=512 or model_max_length=None in model's "
        "config.json).",
        "none",
        {},
        SOURCE + "config/model.py::_get_and_verify_max_len",
    ),
    Message(
        "ValueError: max_num_batched_tokens (100) is smaller than max_model_len (512). This "
        "effectively limits the maximum sequence length",
        "none",
        {},
        SOURCE + "config/scheduler.py::SchedulerConfig",
    ),
    Message(
        "ValueError: Total number of attention heads (52) must be divisible by tensor parallel "
        "size (3).",
        "none",
        {},
        f"{ISSUES}/414",
    ),
    Message(
        "ValueError: Bfloat16 is only supported on GPUs with compute capability of at least 8.0. "
        "Your Tesla T4 GPU has compute capability 7.5.",
        "none",
        {},
        f"{ISSUES}/1157",
    ),
    Message(
        "INFO 04-12 08:21:19 [worker.py:267] Memory profiling takes 17.59 seconds\n"
        "INFO 04-12 08:21:19 [worker.py:267] the current vLLM instance can use total_gpu_memory "
        "(23.58GiB) x gpu_memory_utilization (0.99) = 23.35GiB\n"
        "INFO 04-12 08:21:19 [worker.py:267] model weights take 21.21GiB; non_torch_memory takes "
        "0.20GiB; PyTorch activation peak memory takes 0.37GiB; the rest of the memory reserved "
        "for KV Cache is 1.57GiB.",
        "none",
        {},
        f"{PULLS}/14447",
    ),
    Message(
        "(EngineCore pid=196) INFO 05-14 10:43:22 [gpu_worker.py:599] CUDA graph pool memory: 0.4 "
        "GiB (actual), 0.26 GiB (estimated), difference: 0.14 GiB (35.3%).",
        "none",
        {},
        SOURCE + "v1/worker/gpu_worker.py::Worker.compile_or_warm_up_model",
    ),
    # It begins as the failure does: a start that went well.
    Message(
        "(EngineCore pid=326) INFO 10-06 17:00:41 [gpu_worker.py:955] Free memory on device "
        "(78.84/79.25 GiB) on startup. Desired GPU memory utilization is (0.92, 72.91 GiB). "
        "Actual usage is 15.26 GiB for consumed memory (weights + non-torch), 1.44 GiB for peak "
        "activation, and 0.23 GiB for CUDAGraph memory.",
        "none",
        {},
        SOURCE + "v1/worker/gpu_worker.py::Worker.compile_or_warm_up_model",
    ),
    # What every run with a KV cache of a given size logs.
    Message(
        "INFO [gpu_worker.py:670] Initial free memory 78.84 GiB, reserved 8.0 GiB memory for KV "
        "Cache as specified by kv_cache_memory_bytes config and skipped memory profiling. This "
        "does not respect the gpu_memory_utilization config. Only use kv_cache_memory_bytes "
        "config when you want manual control of KV cache memory size. If OOM'ed, check the "
        "difference of initial free memory between the current run and the previous run where "
        "kv_cache_memory_bytes is suggested and update it correspondingly.",
        "none",
        {},
        SOURCE + "v1/worker/gpu_worker.py::Worker.determine_available_memory",
    ),
    Message(
        "WARNING 08-31 15:25:47 [gpu_worker.py:595] CUDA graph memory profiling is disabled "
        "(VLLM_MEMORY_PROFILER_ESTIMATE_CUDAGRAPHS=0). Without it, CUDA graph memory is not "
        "accounted for during KV cache allocation, which may require lowering "
        "--gpu-memory-utilization to avoid OOM. Consider re-enabling it (the default as of "
        "v0.21.0) and increasing --gpu-memory-utilization from 0.9350 to 0.9595.",
        "none",
        {},
        "https://github.com/wtdcode/vllm-backport/issues/34",
    ),
    Message(
        "INFO 03-27 10:29:03 [model_runner.py:1442] Capturing cudagraphs for decoding. This may "
        "lead to unexpected consequences if the model is not static. To run the model in eager "
        "mode, set 'enforce_eager=True' or use '--enforce-eager' in the CLI. If out-of-memory "
        "error occurs during cudagraph capture, consider decreasing `gpu_memory_utilization` or "
        "switching to eager mode. You can also reduce the `max_num_seqs` as needed to decrease "
        "memory usage.",
        "none",
        {},
        f"{ISSUES}/15598",
    ),
    Message(ENGINE_DEAD, "none", {}, SOURCE + "v1/engine/exceptions.py::EngineDeadError", "run"),
    Message(CORE_FAILED + "Failed core proc(s): {}", "none", {}, f"{ISSUES}/19002", "load"),
    Message(
        CORE_FAILED + "Failed core proc(s): {'EngineCore_0': 1}",
        "none",
        {},
        f"{ISSUES}/21882",
        "load",
    ),
    Message(
        CORE_FAILED + "Failed core proc(s): {'EngineCore': -11}",
        "none",  # SIGSEGV
        {},
        SOURCE + "v1/engine/utils.py::wait_for_engine_startup",
        "load",
    ),
    Message(
        "ERROR 03-21 09:12:44 [multiproc_executor.py:316] Worker proc VllmWorker-3 died "
        "unexpectedly (exit code: -15), shutting down executor.",
        "none",  # SIGTERM: somebody ended it
        {},
        SOURCE + "v1/executor/multiproc_executor.py::MultiprocExecutor.start_worker_monitor",
    ),
    # The words of older vLLMs, without a cause: what the log says before them decides.
    Message(
        "ERROR [multiproc_executor.py:284] Worker proc VllmWorker-3 died unexpectedly, shutting "
        "down executor.",
        "none",
        {},
        "vLLM before it named the exit code",
    ),
    Message(
        "ERROR [core_client.py:564] Engine core proc EngineCore_DP0 died unexpectedly, shutting "
        "down client.",
        "none",
        {},
        f"{ISSUES}/27549",
    ),
    Message(
        "KeyError: 'why does torch say CUDA out of memory when 20 GiB are free?'",
        "none",  # a prompt
        {},
        "a prompt quoted by an error that is not about memory",
        "run",
    ),
    Message(
        "ValueError: The decoder prompt (length 9001) is longer than the maximum model length of "
        "8192. Make sure that `max_model_len` is no smaller than the number of text tokens. "
        "Prompt: 'My PC is out of memory. torch.OutOfMemoryError'",
        "none",
        {},
        "older vLLM's words for a long prompt; the prompt, which names memory, is made up",
        "run",
    ),
)

MESSAGES: tuple[Message, ...] = (
    *NO_FREE_MEMORY,
    *WEIGHTS,
    *PROFILE,
    *NO_KV_CACHE,
    *KV_CACHE_TOO_SMALL,
    *GRAPHS,
    *RUNNING,
    *HOST,
    *KILLED,
    *NONE,
)

"""Messages when memory runs out between two requests of a run."""

from oom_parts import AVOID, CUDA_TAIL, ISSUES, RESERVED, TAIL, Message, traceback

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

"""Messages when the trial pass or the CUDA graphs do not fit."""

from oom_parts import CUDA_TAIL, ISSUES, PULLS, SOURCE, Message, logged, traceback

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
        "profile",  # "CUDA Graphs" is torch's name for private pools, not the cause
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
        "profile",  # more is free than was requested
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
        "profile",  # by itself it may also mean a bad token id or a broken driver
        {},
        "https://github.com/EleutherAI/lm-evaluation-harness/issues/1689",
        "profile",
    ),
    # A workspace of fixed size is full, not the device: only smaller batches help.
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
        "profile",  # spelled so in the library
        {},
        "https://github.com/flashinfer-ai/flashinfer/issues/362",
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
        "graphs",  # vLLM's line does not name memory; NCCL's does
        {},
        "https://github.com/NVIDIA/TensorRT-LLM/issues/1670 (its frames are vLLM's)",
        "graphs",
    ),
)

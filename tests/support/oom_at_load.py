"""Messages when too little memory is free at the start, or the weights do not fit."""

from oom_parts import CUDA_TAIL, ISSUES, SOURCE, TAIL, Message, logged, traceback

# Too little memory is free at the start.

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
        "weights",  # "capacty" is spelled so in torch 2.1
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

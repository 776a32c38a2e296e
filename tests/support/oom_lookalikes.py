"""Messages that only look like a shortage of memory."""

from oom_host import CORE_FAILED
from oom_parts import ISSUES, PULLS, SOURCE, Message
from oom_running import ENGINE_DEAD

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
    # A successful start, which begins like the failure.
    Message(
        "(EngineCore pid=326) INFO 10-06 17:00:41 [gpu_worker.py:955] Free memory on device "
        "(78.84/79.25 GiB) on startup. Desired GPU memory utilization is (0.92, 72.91 GiB). "
        "Actual usage is 15.26 GiB for consumed memory (weights + non-torch), 1.44 GiB for peak "
        "activation, and 0.23 GiB for CUDAGraph memory.",
        "none",
        {},
        SOURCE + "v1/worker/gpu_worker.py::Worker.compile_or_warm_up_model",
    ),
    # Logged by every run with a KV cache of a given size.
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
        "none",  # SIGTERM: terminated from outside
        {},
        SOURCE + "v1/executor/multiproc_executor.py::MultiprocExecutor.start_worker_monitor",
    ),
    # Messages of older vLLMs that name no cause: the log before them decides.
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

"""Messages when the host is short of memory, or the system ends a process because of it."""

from oom_parts import ISSUES, SOURCE, Message, traceback

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


# A process killed by the system, usually for its memory.

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

"""Translate an engine's settings to vLLM's EngineArgs and environment variables."""

import os
from typing import Any

from rollout.config.sections.engine import Device
from rollout.engines.base import CPU_BLOCK_SIZE, EnginePlan, cpu_kv_cache_gib

LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # the values vLLM accepts


def engine_arguments(plan: EnginePlan) -> dict[str, Any]:
    """Return the arguments of vLLM's EngineArgs; `engine.extra` comes last and wins."""
    engine = plan.engine
    arguments: dict[str, Any] = {
        "model": plan.model_path,
        "revision": plan.revision,
        "trust_remote_code": plan.model.trust_remote_code,
        "tensor_parallel_size": engine.tensor_parallel_size,
        "pipeline_parallel_size": engine.pipeline_parallel_size,
        "gpu_memory_utilization": engine.gpu_memory_utilization,
        "max_model_len": engine.max_model_len,
        "dtype": engine.dtype,
        "quantization": engine.quantization,
        "enforce_eager": engine.enforce_eager,
        "enable_prefix_caching": engine.enable_prefix_caching,
        "max_num_seqs": engine.max_num_seqs,
        "max_num_batched_tokens": engine.max_num_batched_tokens,
        "kv_cache_dtype": engine.kv_cache_dtype,
        "disable_log_stats": False,
        "seed": 0,
    }
    kv_cache_gib = engine.kv_cache_gib
    if plan.device is Device.cpu:
        kv_cache_gib = kv_cache_gib or cpu_kv_cache_gib(plan.available_gib)
        # A seeded request whose prefill is chunked kills the engine core on CPUs.
        arguments |= {
            "enforce_eager": True,
            "enable_chunked_prefill": False,
            "block_size": CPU_BLOCK_SIZE,
        }
    if plan.num_loras:
        rank = next((r for r in LORA_RANKS if r >= plan.lora_rank), plan.lora_rank)
        arguments |= {"enable_lora": True, "max_loras": plan.num_loras, "max_lora_rank": rank}
    if kv_cache_gib is not None:
        arguments["kv_cache_memory_bytes"] = int(kv_cache_gib * 2**30)
    arguments = {k: v for k, v in arguments.items() if v is not None}
    return arguments | engine.extra


def set_environment(plan: EnginePlan) -> None:
    """Set the environment variables vLLM reads; the user's values win, except for the log."""
    import json
    import logging.config
    import sys

    own: dict[str, str] = {"VLLM_NO_USAGE_STATS": "1", "TOKENIZERS_PARALLELISM": "false"}
    if plan.device is Device.cpu:
        own["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    for name, value in own.items():
        os.environ.setdefault(name, value)
    handler = {
        "class": "logging.FileHandler",
        "filename": str(plan.log_file),
        "formatter": "plain",
        "level": "INFO",
    }
    logging_config = {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"plain": {"format": "%(levelname)s %(asctime)s [%(name)s] %(message)s"}},
        "handlers": {"file": handler},
        "loggers": {"vllm": {"handlers": ["file"], "level": "INFO", "propagate": False}},
    }
    config_file = plan.log_file.with_name("vllm_logging.json")
    config_file.write_text(json.dumps(logging_config, indent=2))
    os.environ["VLLM_LOGGING_CONFIG_PATH"] = str(config_file)
    if "vllm" in sys.modules:  # it read the file on import, so it still logs for another engine
        logging.config.dictConfig(logging_config)

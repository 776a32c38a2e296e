"""Shared fixtures: a tiny real model, and one loaded engine per process that needs it."""

import os

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test reaches for a hub
os.environ.setdefault("WANDB_MODE", "offline")
for name in ("MODEL_PATH", "INPUT", "OUTPUT", "N_SAMPLES", "MAX_TOKENS", "TEMPERATURE", "TOP_P"):
    os.environ.pop(name, None)
for name in ("TENSOR_PARALLEL_SIZE", "GPU_MEMORY_UTILIZATION", "MAX_NUM_SEQS"):
    os.environ.pop(name, None)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """A random two-layer Qwen3 on disk; context of 512 tokens."""
    from tiny_model import make_tiny_model

    return make_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


def pytest_collection_modifyitems(items):
    """Fast tests first, then real vLLM."""
    items.sort(key=lambda item: item.get_closest_marker("vllm") is not None)

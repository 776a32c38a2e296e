"""The memory that a model takes on a device: weights, KV cache, allowances."""

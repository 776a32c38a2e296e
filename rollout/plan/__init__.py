"""What fits: a model's weights and KV cache against a device, which preset, what to change."""

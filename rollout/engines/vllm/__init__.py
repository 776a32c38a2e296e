"""The engine room: the only package that knows vLLM."""

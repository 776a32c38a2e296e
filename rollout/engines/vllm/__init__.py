"""The vLLM engine. No other package imports vLLM."""

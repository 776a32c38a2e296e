"""Collect the statistics of vLLM's scheduler as EngineStats."""

from typing import Any

from rollout.engines.base import EngineStats


class StepCounters:
    """The sums of vLLM's per-step statistics."""

    def __init__(self) -> None:
        self.stats = EngineStats()

    def factory(self) -> type:
        """Return a StatLoggerFactory for vLLM that writes to `self.stats`.

        It replaces vLLM's Prometheus logger, which would otherwise update gauges at every step
        although there is no server.
        """
        from vllm.v1.metrics.loggers import PrometheusStatLogger

        stats = self.stats

        class Books(PrometheusStatLogger):
            def __init__(self, vllm_config: Any, engine_indexes: Any = None):
                pass

            def record(self, scheduler_stats: Any, *_: Any, **__: Any) -> None:
                stats.num_steps += 1
                if scheduler_stats is None:
                    return
                stats.num_running = scheduler_stats.num_running_reqs
                stats.num_waiting = scheduler_stats.num_waiting_reqs
                usage = stats.kv_cache_usage = scheduler_stats.kv_cache_usage
                stats.kv_cache_usage_peak = max(stats.kv_cache_usage_peak, usage)
                prefixes = scheduler_stats.prefix_cache_stats
                if prefixes is not None:  # None if prefix caching is off
                    stats.num_queried_tokens += prefixes.queries
                    stats.num_cached_tokens += prefixes.hits
                    # Counted when a preempted request resumes and looks up its prefix again.
                    stats.num_preemptions += prefixes.preempted_requests

            def log_engine_initialized(self) -> None:
                pass

            def log(self) -> None:
                pass

            def record_sleep_state(self, *_: Any, **__: Any) -> None:
                pass

        return Books

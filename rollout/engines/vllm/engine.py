"""vLLM behind the protocol of engines/base.py; its types do not leave this package.

One `LLMEngine`, driven step by step in this process: n samples per request, final output only.
On a CPU the engine core runs in this process too, which cuts the start-up time to a third. With
GPUs it is vLLM's own child process, so that tokenization here overlaps with decoding there.
Tested with vLLM 0.32 (CPU); written for 0.24 and later.
"""

import time
import traceback
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from rollout.config.sections.engine import Device
from rollout.config.sections.model import Model
from rollout.config.sections.sampling import Sampling
from rollout.engines.base import GREEDY_NOTE, EngineFacts, EnginePlan, EngineStats, Sampler, repeats
from rollout.engines.memory_faults import Stage, memory_fault
from rollout.engines.vllm.arguments import engine_arguments, set_environment
from rollout.engines.vllm.core_watch import CoreWatch
from rollout.engines.vllm.counters import StepCounters
from rollout.engines.vllm.encoding import Encoder
from rollout.engines.vllm.faults import cause_of_death, explained, first_line, tail_of
from rollout.engines.vllm.sampling import (
    NOT_PER_ROW,
    SAMPLING_KEYS,
    checked,
    hint,
    parameters_of,
    refusals,
    typed_sampling,
    with_constraint,
)
from rollout.errors import EngineError, RequestRefused, UserError
from rollout.rows.prompt import is_greedy
from rollout.rows.request import Completion, Request, Sample


class VllmEngine:
    is_up = True

    def __init__(self, plan: EnginePlan):
        set_environment(plan)
        self.num_steps = 0
        self._plan = plan
        self._log_start = plan.log_file.stat().st_size if plan.log_file.exists() else 0
        self._counters = StepCounters()
        self._groups: dict[str, tuple[Request, float]] = {}  # with the time of submission
        self._adapters: dict[Path, Any] = {}
        self._engine: Any = None
        self._next_id = 0
        self._num_finished_tokens = 0
        self._core: CoreWatch | None = None
        with explained(plan, self._log_start):
            from vllm import EngineArgs, SamplingParams
            from vllm.sampling_params import RequestOutputKind
            from vllm.usage.usage_lib import UsageContext
            from vllm.v1.engine.llm_engine import LLMEngine

            self._new_params = SamplingParams
            self._final_only = RequestOutputKind.FINAL_ONLY
            self._row_params = [p for p in parameters_of(SamplingParams) if p not in NOT_PER_ROW]
            self._refusals = refusals()
            arguments = checked(EngineArgs, "engine.extra", engine_arguments(plan))
            # As LLM does: the offline defaults for batched tokens, not the server's.
            self._engine = LLMEngine.from_engine_args(
                arguments,
                usage_context=UsageContext.LLM_CLASS,
                stat_loggers=[self._counters.factory()],
            )
            # The scheduler's statistics are enough; the front end's, updated for every token, cost
            # a tenth of the throughput (benchmarks/driver_overhead.py vllm).
            self._engine.log_stats = False
            self._core = CoreWatch(self._engine.engine_core)
            resolved = self._engine.vllm_config
            self._encoder = Encoder(
                self._engine.renderer,
                self._engine.get_tokenizer(),
                plan.model_path,
                resolved.model_config.get_vocab_size(),
            )
        self._suggested = resolved.model_config.get_diff_sampling_param()
        self.facts = _facts(plan, resolved)
        self.facts.has_chat_template = self._encoder.has_template(plan.model.chat_template)

    def sampler(
        self, sampling: Sampling, model: Model, wants_logprobs: bool, adapter: Path | None = None
    ) -> Sampler:
        """Return the effective SamplingParams' arguments; note where generation_config differs."""
        params = typed_sampling(sampling, wants_logprobs)
        suggested = {k: v for k, v in self._suggested.items() if k in SAMPLING_KEYS}
        params |= {k: v for k, v in suggested.items() if k not in params}
        ignored = [f"{k}={v}" for k, v in suggested.items() if params[k] != v]
        notes = [f"the model's generation_config suggests {', '.join(ignored)}"] if ignored else []
        greedy = is_greedy(params.get("temperature"))
        if greedy and sampling.n_samples > 1:
            notes.append(GREEDY_NOTE)
        ready = with_constraint(params) | ({"n": 1} if greedy else {})
        checked(self._new_params, "sampling", ready)
        chat = model.chat_template, dict(model.chat_template_kwargs)
        lora = self._lora(adapter) if adapter else None
        shown, tags = {**params, "seed": sampling.seed}, model.reasoning_tags
        return Sampler(shown, notes, ready, chat, lora, tags, greedy)

    def _lora(self, adapter: Path) -> Any:
        """Load the adapter, so that one that does not fit is refused here and not in a step."""
        from vllm.lora.request import LoRARequest

        if adapter not in self._adapters:
            number = len(self._adapters) + 1
            lora = LoRARequest(f"{number}:{adapter.name}", number, str(adapter))
            try:
                self._engine.add_lora(lora)
            except Exception as error:  # vLLM may raise anything for a bad file
                with self._plan.log_file.open("a") as log:
                    log.write(traceback.format_exc())
                raise UserError(
                    f"model.lora_path={adapter}: vLLM can't load this adapter for "
                    f"{self._plan.model_path}: {first_line(error)}"
                ) from error
            self._adapters[adapter] = lora
        return self._adapters[adapter]

    def submit(self, request: Request) -> None:
        prompt = request.prompt
        template, variables = request.sampler.chat if request.sampler else (None, {})
        token_ids = self._encoder.encode(prompt, template, variables)
        if request.prefix:
            token_ids = [*token_ids, *request.prefix.token_ids]
        limit = self.facts.max_model_len
        if len(token_ids) >= limit:
            raise RequestRefused(
                f"the prompt has {len(token_ids)} tokens, which leaves no room for a response "
                f"in the context of {limit} (max_model_len)"
            )
        given = request.sampler.ready if request.sampler else {}
        if prompt.sampling:
            given = given | self._own_sampling(prompt.sampling)
        own = {
            "n": 1 if repeats(request) else request.n_samples,
            "max_tokens": request.max_tokens or limit - len(token_ids),
            "seed": request.seed,
            "output_kind": self._final_only,
        }
        if request.prefix and (least := given.get("min_tokens")):
            own["min_tokens"] = max(0, least - request.prefix.num_tokens)
        request_id = str(self._next_id)
        self._next_id += 1
        try:
            params = self._new_params(**given | own)
            lora = request.sampler.adapter if request.sampler else None
            self._engine.add_request(
                request_id, {"prompt_token_ids": token_ids}, params, lora_request=lora
            )
        except self._refusals as refusal:
            reason = first_line(refusal)
            if prompt.sampling:
                reason = f"{self._refused(prompt.sampling)}: {reason}"
            raise RequestRefused(reason) from refusal
        except Exception as error:
            raise self._death(error) from error
        self._groups[request_id] = request, time.monotonic()

    def _own_sampling(self, own: dict[str, Any]) -> dict[str, Any]:
        """Return a row's own SamplingParams, which override the run's. Raises RequestRefused."""
        for name in own:
            if name not in self._row_params:
                known = hint(name, self._row_params)
                raise RequestRefused(f"a row can't set the sampling parameter {name!r}{known}")
        own = {k: v for k, v in own.items() if k != "max_tokens"}
        if not isinstance(given := own.get("structured_outputs", {}), dict):
            raise RequestRefused(
                f"structured_outputs={given!r:.40} is not an object; give one such as "
                "{'choice': ['a', 'b']}"
            )
        if isinstance(bias := own.get("logit_bias"), dict):  # JSON keys are always strings
            try:
                own["logit_bias"] = {int(token_id): value for token_id, value in bias.items()}
            except ValueError as error:
                raise RequestRefused(
                    f"logit_bias has a key that is not a token id: {error}"
                ) from error
        try:
            return with_constraint(own)
        except UserError as error:
            raise RequestRefused(str(error)) from error

    def _refused(self, own: dict[str, Any]) -> str:
        """Name the row's own setting that vLLM refuses by itself; else all of them."""
        for name, value in own.items():
            try:
                self._new_params(**with_constraint({name: value}))
            except (*self._refusals, UserError):
                return f"the row's own sampling (data.sampling_key), {name}={value!r:.60}"
        return f"the row's own sampling (data.sampling_key), {', '.join(own)}"

    def step(self) -> list[Completion]:
        self.num_steps += 1
        try:
            outputs = self._engine.step()
        except Exception as error:
            raise self._death(error) from error
        return [self._completion(output) for output in outputs if output.finished]

    def _completion(self, output: Any) -> Completion:
        request, submitted_s = self._groups.pop(output.request_id)
        samples = [
            Sample(
                text=part.text,
                finish_reason=str(part.finish_reason),
                num_tokens=len(part.token_ids),
                stop_reason=None if part.stop_reason is None else str(part.stop_reason),
                token_ids=list(part.token_ids),
                cumulative_logprob=part.cumulative_logprob,
                logprobs=_logprobs(part),
            )
            for part in sorted(output.outputs, key=lambda part: part.index)
        ]
        is_one = repeats(request)
        wanted = 1 if is_one else request.n_samples
        assert len(samples) == wanted, "the engine did not return n samples"
        self._num_finished_tokens += sum(sample.num_tokens for sample in samples)
        prompt_token_ids = list(output.prompt_token_ids)
        if prefix := request.prefix:
            del prompt_token_ids[-prefix.num_tokens :]
            samples = [self._encoder.joined(prefix, samples[0])]
        if is_one:
            samples = [replace(samples[0]) for _ in range(request.n_samples)]
        latency_s = time.monotonic() - submitted_s
        num_cached = output.num_cached_tokens
        opened = self._encoder.opens_reasoning(request, prompt_token_ids)
        return Completion(request, samples, prompt_token_ids, num_cached, latency_s, opened, is_one)

    def _death(self, error: Exception) -> EngineError:
        """Return the engine's death with its cause; a separate core writes it only to the log."""
        log_file, start = self._plan.log_file, self._log_start
        message = cause_of_death(first_line(error), log_file, start)
        death = EngineError(f"the engine died: {message}")
        trace = "".join(traceback.format_exception(error))
        if self._plan.device is not Device.cpu or "EngineCore" in trace:
            trace = f"{tail_of(log_file, start)}\n{trace}"
        death.fault = memory_fault(
            trace, Stage.run, self._core.exit_status() if self._core else None
        )
        return death

    @property
    def num_unfinished(self) -> int:
        return self._engine.get_num_unfinished_requests()

    def stats(self) -> EngineStats:
        stats = self._counters.stats
        stats.num_output_tokens = self._num_finished_tokens + self._num_tokens_in_flight()
        return stats

    def _num_tokens_in_flight(self) -> int:
        """Count tokens of running samples, and of finished ones whose request is not."""
        processor = self._engine.output_processor
        with suppress(AttributeError):  # internals of vLLM: statistics must not end a run
            states = processor.request_states.values()
            each = [state.detokenizer.num_output_tokens() for state in states]
            running = sum(each)
            parents = processor.parent_requests.values()
            held = [len(part.token_ids) for p in parents for part in p.output_aggregator if part]
            self._counters.stats.num_running_tokens = running
            self._counters.stats.least_running_tokens = min(each, default=0)
            self._counters.stats.num_ended_in_flight = len(held)
            return running + sum(held)
        return 0

    def shutdown(self) -> None:
        engine, self._engine = self._engine, None
        if engine is None:
            return
        engine.engine_core.shutdown()
        if self._plan.device is Device.cpu:  # the core's process group is this process's
            from vllm.distributed import cleanup_dist_env_and_memory

            cleanup_dist_env_and_memory()


def _logprobs(part: Any) -> list[float] | None:
    """Return the log-probability of each sampled token; None if they were not requested."""
    if part.logprobs is None:
        return None
    pairs = zip(part.token_ids, part.logprobs, strict=True)
    return [known[token_id].logprob for token_id, known in pairs]


def _facts(plan: EnginePlan, resolved: Any) -> EngineFacts:
    import vllm

    cache = resolved.cache_config
    scheduler = resolved.scheduler_config
    return EngineFacts(
        name="vllm",
        version=vllm.__version__,
        max_num_seqs=scheduler.max_num_seqs,
        max_model_len=resolved.model_config.max_model_len,
        num_gpus=0 if plan.device is Device.cpu else resolved.parallel_config.world_size,
        details={
            "device": plan.device.name,
            "dtype": str(resolved.model_config.dtype).removeprefix("torch."),
            "max_num_batched_tokens": scheduler.max_num_batched_tokens,
            "block_size": cache.block_size,
            "num_kv_cache_blocks": cache.num_gpu_blocks,
            "kv_cache_tokens": _kv_cache_tokens(cache),
            "enable_prefix_caching": cache.enable_prefix_caching,
            "quantization": resolved.model_config.quantization,
        },
    )


def _kv_cache_tokens(cache: Any) -> int:
    """Return how many tokens of full-length requests the KV cache holds, as vLLM logs it."""
    size = getattr(cache, "kv_cache_size_tokens", None)  # not in 0.24
    return size or (cache.num_gpu_blocks or 0) * (cache.block_size or 0)

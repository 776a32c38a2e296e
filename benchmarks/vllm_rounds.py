"""rollout's path and LLM.generate on one loaded engine in one process, in alternating rounds.

    python benchmarks/vllm_rounds.py MODEL PROMPTS WORKDIR [ROUNDS]

Two processes never get the same machine: pairs of them differ by far more than what is to be
measured. Here both sides drive the same `LLMEngine`, whose prefix cache is emptied before each
turn, with the same requests and seeds. In the turns of `generate` the scheduler's statistics are
switched off, as `LLM` has them by default. rollout's turn is everything but loading: from opening
the run directory to the published file. `LLM.generate` saves nothing. On a machine that others use
too, the ratio of the CPU times says more than that of the wall times. Prints one JSON line.
"""

import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from vllm_pairs import MAX_NUM_SEQS, MAX_TOKENS, N_SAMPLES, SETTINGS, sampling_params  # noqa: E402


class Sides:
    """Both sides on the engine of one slot. The first turn of `rollout` loads it."""

    def __init__(self, model: str, prompts: str, workdir: str):
        import pyarrow.parquet as pq

        from rollout.engines.fleet import Fleet
        from rollout.engines.replicas import Replicas
        from rollout.system.console import Console
        from rollout.system.signals import StopRequest

        self._model, self._prompts, self._workdir = model, prompts, Path(workdir)
        self._texts = pq.read_table(prompts)["prompt"].to_pylist()
        self._console, self._stop = Console(quiet=True), StopRequest()
        self.fleet = Fleet(self._console, self._stop)
        self.replicas = Replicas(self.fleet)
        self._llm: Any = None

    def rollout(self, number: int) -> tuple[float, float]:
        """Answer all prompts in a fresh run directory. Return wall and CPU seconds."""
        from rollout.config.compose import compose
        from rollout.runs.attempt import Attempt
        from rollout.runs.fitting import settle
        from rollout.runs.generate import answer
        from rollout.runs.job import plan_of, prepare
        from rollout.runs.opening import open_run
        from rollout.runs.turns import take_turns

        given = {"model.model_path": self._model, "data.input": self._prompts, "resume": "fresh"}
        settings = compose({**SETTINGS, **given, "run_dir": self._workdir / f"run{number}"})
        began = _now()
        job = prepare(settings, self._console)
        with open_run(job, self._console) as (store, standing):
            job = settle(job, self._console, owns_run=True)
            attempt = Attempt(job, store, standing, self._console)
            answers = answer(self.replicas, plan_of(job, attempt.directory), [attempt], self._stop)
            take_turns([answers], self._stop, self.replicas.wait)
            if attempt.error:
                raise attempt.error
            attempt.publish(self._stop)
            attempt.close()
        return _since(began)

    def generate(self, number: int) -> tuple[float, float]:
        """Call LLM.generate once for all prompts. Return wall and CPU seconds."""
        params = sampling_params(len(self._texts))
        llm, began = self.llm, _now()
        outputs = llm.generate(self._texts, params, use_tqdm=False)
        seconds = _since(began)
        num_tokens = sum(len(part.token_ids) for output in outputs for part in output.outputs)
        assert num_tokens == len(self._texts) * N_SAMPLES * MAX_TOKENS
        return seconds

    @property
    def engine(self) -> Any:
        """The `LLMEngine` of vLLM."""
        return self.replicas.slots[0].current._engine

    @property
    def llm(self) -> Any:
        """An `LLM` around the loaded engine."""
        from vllm import LLM
        from vllm.v1.engine.llm_engine import LLMEngine

        if self._llm is None:
            with mock.patch.object(LLMEngine, "from_engine_args", return_value=self.engine):
                self._llm = LLM(model=self._model, enforce_eager=True)
        return self._llm

    def ready(self, side: str) -> None:
        """Empty the prefix cache, and turn the scheduler's statistics on for rollout alone."""
        scheduler = self.engine.engine_core.engine_core.scheduler
        scheduler.log_stats = scheduler.kv_cache_manager.log_stats = side == "rollout"
        assert self.engine.reset_prefix_cache()


def _now() -> tuple[float, float]:
    return time.monotonic(), time.process_time()


def _since(began: tuple[float, float]) -> tuple[float, float]:
    return time.monotonic() - began[0], time.process_time() - began[1]


def run_rounds(model: str, prompts: str, workdir: str, num_rounds: int = 10) -> dict:
    """Alternate the sides. Return each round's ratio of throughputs and the median."""
    sides = Sides(model, prompts, workdir)
    sides.rollout(-1)
    sides.ready("generate")
    sides.generate(-1)
    rounds = []
    for number in range(num_rounds):
        seconds = {}
        for side in ("generate", "rollout")[:: -1 if number % 2 else 1]:
            sides.ready(side)
            seconds[side] = getattr(sides, side)(number)
        (ours, ours_cpu), (raw, raw_cpu) = seconds["rollout"], seconds["generate"]
        rounds.append(
            {
                "rollout_s": ours,
                "generate_s": raw,
                "throughput_ratio": raw / ours,
                "cpu_time_ratio": raw_cpu / ours_cpu,
            }
        )
        print(json.dumps(rounds[-1]), file=sys.stderr, flush=True)
    sides.replicas.close()
    sides.fleet.close()
    return {
        "throughput_ratio_median": statistics.median(r["throughput_ratio"] for r in rounds),
        "cpu_time_ratio_median": statistics.median(r["cpu_time_ratio"] for r in rounds),
        "n_samples": N_SAMPLES,
        "max_tokens": MAX_TOKENS,
        "max_num_seqs": MAX_NUM_SEQS,
        "rounds": rounds,
    }


if __name__ == "__main__":
    model, prompts, workdir, *num_rounds = sys.argv[1:]
    print(json.dumps(run_rounds(model, prompts, workdir, *map(int, num_rounds))))

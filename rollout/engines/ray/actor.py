"""The process of a replica: holds an engine, and advances it when the driver calls.

A plain class, made a Ray actor by host.py. Errors are returned as values, unexpected ones too: an
exception that leaves an actor loses its type and its cause. Writes nothing but its log, which goes
to the driver.
"""

import fcntl
import os
import shutil
import tempfile
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from rollout.config.sections.engine import Device
from rollout.config.sections.model import Model
from rollout.config.sections.sampling import Sampling
from rollout.engines import load_engine
from rollout.engines.base import Engine, EngineFacts, EnginePlan, EngineStats, Sampler
from rollout.engines.placement import EXECUTOR
from rollout.errors import EngineError, RequestRefused, RolloutError
from rollout.rows.request import Completion, Request
from rollout.system import gpus, machine
from rollout.system.version import VERSION

# A call returns soon after something finished, and otherwise often enough for live figures. The
# next call is already waiting, so that a short slice costs no idle time.
SLICE_S = 0.1
FINISHED_SLICE_S = 0.02
PREFIX, LOCK = "rollout-replica-", "lock"
MAX_LOG_BYTES = 64 * 1024  # sent with each report


@dataclass(slots=True)
class Report:
    """An actor's answer to a call."""

    error: RolloutError | None = None  # the engine died, or could not be loaded
    facts: EngineFacts | None = None  # after loading
    completions: list[tuple[int, Any]] = field(default_factory=list)  # number of the request, and
    stats: EngineStats = field(default_factory=EngineStats)  # its Completion without the request
    num_steps: int = 0
    log: bytes = b""  # what the engine's log has gained
    log_file: str = ""  # its name there


class EngineActor:
    """Holds one engine. Calls come one at a time, in order."""

    def __init__(self) -> None:
        self._directory, self._lock = own_directory()
        self._log_file = self._directory / "engine.log"
        self._log = self._log_file.open("ab+", buffering=0)
        self._num_sent = 0  # bytes of the log
        self._engine: Engine | None = None
        self._samplers: dict[str | None, Sampler | RolloutError | None] = {None: None}
        self._numbers: dict[Request, int] = {}
        self._num_gpus = 0
        self._meter = gpus.Meter()
        self._energy_j: float | None = None  # of its GPUs, when the engine was up

    def load(self, plan: EnginePlan, environment: Mapping[str, str], version: str) -> Report:
        """Load the engine. What libraries print goes to its log; `version` is the driver's."""
        if version != VERSION:
            return Report(EngineError(f"rollout {VERSION} is installed there, {version} here"))
        for descriptor in (1, 2):
            os.dup2(self._log.fileno(), descriptor)
        os.environ.update(environment)
        if plan.engine.extra.get(EXECUTOR) == "ray":  # its core connects from a child process
            import ray

            os.environ.setdefault("RAY_ADDRESS", ray.get_runtime_context().gcs_address)
        if plan.device is Device.cpu:  # else every engine of this node takes the same cores
            os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
        available_gib = machine.look().available_gib
        plan = replace(plan, log_file=self._log_file, available_gib=available_gib)
        try:
            self._engine = load_engine(plan)
        except RolloutError as error:
            return self._report(error)
        except Exception as error:
            return self._report(self._unexpected(error))
        self._num_gpus = self._engine.facts.num_gpus
        self._energy_j = gpus.usage(self._num_gpus).energy_j
        report = self._report()
        report.facts = self._engine.facts
        return report

    def sampler(
        self,
        key: str,
        sampling: Sampling,
        model: Model,
        wants_logprobs: bool,
        adapter: Path | None,
    ) -> Sampler | RolloutError:
        """Keep a sampler under `key`; return what the driver needs of it."""
        try:
            made = self._engine.sampler(sampling, model, wants_logprobs, adapter)
        except RolloutError as error:
            self._samplers[key] = error
            return error
        self._samplers[key] = made
        return replace(made, ready=key, chat=None, adapter=None)

    def advance(self, requests: list[tuple[int, Request]]) -> Report:
        """Submit requests and run the engine until some finish, or for SLICE_S."""
        began, completions = time.monotonic(), []
        engine = self._engine
        try:
            for number, request in requests:
                request.sampler = self._samplers[request.sampler]
                if isinstance(request.sampler, RolloutError):
                    raise EngineError(f"this replica can't draw the samples: {request.sampler}")
                self._numbers[request] = number
                try:
                    engine.submit(request)
                except RequestRefused as refusal:
                    completions.append(self._sent(Completion(request, [], [], error=str(refusal))))
            while engine.num_unfinished:
                completions += map(self._sent, engine.step())
                elapsed_s = time.monotonic() - began
                if elapsed_s >= (FINISHED_SLICE_S if completions else SLICE_S):
                    break
        except EngineError as error:
            return self._report(error, completions)
        except Exception as error:
            return self._report(self._unexpected(error), completions)
        return self._report(None, completions)

    def _unexpected(self, error: Exception) -> EngineError:
        self._log.write(traceback.format_exc().encode(errors="replace"))
        text = " ".join(str(error).split())[:300]
        return EngineError(
            f"the replica failed with {type(error).__name__}: {text} (traceback: {self._log_file})"
        )

    def _sent(self, completion: Completion) -> tuple[int, Completion]:
        number = self._numbers.pop(completion.request)
        completion.request = None
        return number, completion

    def _report(self, error: RolloutError | None = None, completions: Any = ()) -> Report:
        report = Report(error, completions=list(completions))
        report.log, report.log_file = self._new_log(), str(self._log_file)
        if self._engine:
            report.stats = replace(self._engine.stats(), **self._usage())
            report.num_steps = self._engine.num_steps
        return report

    def _usage(self) -> dict[str, float | None]:
        found = asdict(self._meter.usage(self._num_gpus))
        is_known = None not in (found["energy_j"], self._energy_j)
        return found | {"energy_j": found["energy_j"] - self._energy_j if is_known else None}

    def _new_log(self) -> bytes:
        size = os.fstat(self._log.fileno()).st_size
        if size == self._num_sent:
            return b""
        new = os.pread(self._log.fileno(), MAX_LOG_BYTES, self._num_sent)
        self._num_sent += len(new)
        return new

    def shutdown(self) -> None:
        """Shut the engine down, so that its memory is free for the next one."""
        engine, self._engine = self._engine, None
        if engine:
            engine.shutdown()
        shutil.rmtree(self._directory, ignore_errors=True)


def own_directory() -> tuple[Path, IO[str]]:
    """Make a directory for as long as this process lives; the open file says that it does.

    Those of replicas on this machine that were killed are removed.
    """
    for old in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(OSError), (old / LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(old, ignore_errors=True)
    directory = Path(tempfile.mkdtemp(prefix=PREFIX))
    lock = (directory / "new").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    (directory / "new").rename(directory / LOCK)  # nobody sees it before it is locked
    return directory, lock

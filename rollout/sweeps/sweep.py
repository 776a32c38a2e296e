"""A sweep: many points, few engines, one table.

Points with the same engine settings share an engine; of those, points with the same class of
sampler share one continuous batch. Each point is a separate run, with its own directory, records,
tracking and status; if it fails, the others continue. Must not know about Hydra.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from rollout.config.effects import refuse_without_effect_everywhere
from rollout.config.sections.postprocess import Postprocess
from rollout.engines.fleet import Fleet
from rollout.engines.replicas import Replicas
from rollout.errors import RolloutError, UserError
from rollout.report.run.at_end import report_at_end
from rollout.report.sweep.points import Point, at_point, figures_of
from rollout.report.sweep.record import points_in
from rollout.runs.attempt import Attempt
from rollout.runs.command import command_in
from rollout.runs.findings import Findings
from rollout.runs.fitting import ladder_of, refuse_impossible, refuse_no_room, settle
from rollout.runs.generate import OnTurn, answer
from rollout.runs.job import prepare, refuse_objective
from rollout.runs.opening import open_run
from rollout.runs.summary import Summary, finished_before
from rollout.runs.turns import Task, take_turns
from rollout.runs.workflow import with_prompts
from rollout.store.run_dir import refuse_users_tables
from rollout.store.store import Store
from rollout.sweeps.batches import Batch, batches_of, refuse_one_place, refuse_own_tables, rounds_of
from rollout.sweeps.dry_run import dry_run_lines
from rollout.sweeps.outcome import OF_THE_COMMAND, are_all_refused, nothing_answered, say_failures
from rollout.sweeps.progress import PointConsole, SweepReport
from rollout.system import lock
from rollout.system.console import Console
from rollout.system.signals import StopRequest, stop_on_signals
from rollout.system.unexpected import unexpected_errors_explained


class Sweep:
    """All points of one command. The caller closes it."""

    def __init__(self, argv: list[str], console: Console):
        self.points: dict[Path, Point] = {}  # by directory, in the order of launch
        self.errors: dict[Path, RolloutError] = {}
        self.directory: Path | None = None
        self.dry_run = False
        self._argv, self._console = argv, console
        self._report = SweepReport(console, self.points, argv)
        self._open = ExitStack()
        self._fleet: Fleet | None = None
        self._replicas: Replicas | None = None  # those that stay up for later points
        self._has_tracker, self.fault = False, ""
        self._stop: StopRequest | None = None
        self._findings = Findings()
        self._planned: list[Batch] = []  # of a dry run
        self._taken: dict[Any, str] = {}  # output file -> the point that writes it

    def launch(
        self, asked: list[Point], directory: Path, objective: str, num_to_come: int | None = 0
    ) -> list[Point]:
        """Run these points, except those that this sweep has already run; return all, in order.

        Later launches will ask for `num_to_come` further ones; None: unknown.
        Raises UserError if two of them would write one file, Interrupted if the user asked to stop.
        """
        stages = [a.settings.postprocess for a in asked if a.settings]
        scored = [stage for stage in stages if stage.scorer]
        refuse_objective(objective, (scored or stages or [Postprocess()])[0])
        refuse_without_effect_everywhere([a.settings for a in asked if a.settings], asked[0].values)
        points_in(directory)  # raises if sweep.json is damaged, before it is overwritten
        self._begin(directory)
        self._report.objective, self._report.num_to_come = objective, num_to_come
        points = [point for point in asked if self._is_ready(point)]
        refuse_one_place(points, self._taken)
        self.dry_run = any(point.job.settings.dry_run for point in points)
        batches = batches_of(points, self.directory)
        for batch in batches:
            alike = [b for b in batches if b.plan.identity == batch.plan.identity]
            batch.ladder = ladder_of(point.job for b in alike for point in b.points)
        if self.dry_run:
            self._planned += batches
        elif batches:
            self._lock()
            self._run(batches)
        return [self.points[a.run_dir] for a in asked]

    def _begin(self, directory: Path) -> None:
        if self._stop is None:
            self.directory = directory
            self._stop = self._open.enter_context(stop_on_signals(ends_process=True))
            self._stop.print_line = self._console.print_now
            self._stop.last_line = self._last_line
            self._stop.report_progress = self._report.note_progress
            self._fleet = Fleet(self._console, self._stop, serves_many=True)
            self._open.callback(self._fleet.close)

    def _lock(self) -> None:
        if self._report.is_open:
            return
        try:
            refuse_users_tables(self.directory)  # before a lock file is left behind
            self.directory.mkdir(parents=True, exist_ok=True)
            self._open.enter_context(lock.held(self.directory, self._console.note))
            refuse_users_tables(self.directory)
            self._report.claim(self.directory)
        except OSError as error:
            raise UserError(
                f"run_dir={self.directory}: can't write there ({error}); type another run_dir="
            ) from error
        self._report.is_open = True

    # Before anything starts.

    def _is_ready(self, point: Point) -> bool:
        """Check a point and make its job; false if it can't run or already did in this sweep."""
        if known := self.points.get(point.run_dir):
            if known.values != point.values:
                raise UserError(
                    f"hydra.sweep.subdir gives two points the directory {point.run_dir}; leave it "
                    "out, or put every swept key in it"
                )
            return False
        self.points[point.run_dir] = point
        try:
            if point.refused:
                raise point.refused
            settings = at_point(point.settings, point.run_dir, self.directory)
            point.prompt_keys, point.prefix = [settings.data.prompt_key], settings.output.prefix
            with unexpected_errors_explained(point.run_dir):
                settings = with_prompts(settings, self._console, self.directory / "prompts")
                job = prepare(settings, self._console, self._argv, self._findings)
                point.prompt_keys = job.prompts.builder.columns
                refuse_impossible(job)
                refuse_no_room(job)
                point.job = settle(job, self._console, self._findings)
                refuse_own_tables(job, self.directory)
        except RolloutError as error:
            self._note_refusal(point, error)
            self._fail(point, error)
            return False
        return True

    def _note_refusal(self, point: Point, error: RolloutError) -> None:
        """Print why a point can't run, with all details."""
        for line in (f"{point.name} can't run: {error.args[0]}", *error.details):
            self._console.note(line)

    # Batches.

    def _run(self, batches: list[Batch]) -> None:
        """Run every point of the batches to its end.

        Batches with the same engine run one after the other. The replicas of a host are divided
        among as many engines as it has replicas, so that one engine's tail delays no other.
        """
        is_up = self._replicas.has if self._replicas else lambda plan, environment: False
        for groups in rounds_of(batches, is_up):
            self._fleet.num_to_serve = len(groups)
            tasks = [self._group(group) for group in groups]
            take_turns(tasks, self._stop, self._fleet.wait, lambda: self._fleet.num_at_once)

    def _group(self, batches: list[Batch]) -> Task:
        """Run batches with the same engine; it stays up for later points if no group is left."""
        plan, environment = batches[0].plan, batches[0].environment
        kept, self._replicas = self._replicas, None
        if kept and not kept.has(plan, environment):
            kept.close()
            kept = None
        replicas = kept or Replicas(self._fleet)
        try:
            for batch in batches:
                yield from self._batch(batch, replicas)
        except BaseException:
            replicas.close()
            raise
        self._fleet.num_to_serve -= 1
        if self._fleet.num_to_serve:
            replicas.close()
        else:
            self._replicas = replicas

    def _batch(self, batch: Batch, replicas: Replicas) -> Task:
        attempts: list[tuple[Point, Attempt]] = []
        with ExitStack() as opened:
            try:
                with self._stop.deferred(False):
                    for point in batch.points:
                        self._stop.raise_if_requested()
                        if attempt := self._opened(point, opened, is_first=not attempts):
                            attempts.append((point, attempt))
                    self._report.begun(self.directory, attempts)
                owing = [(p, a) for p, a in attempts if a.standing.num_owed]
                if owing:
                    with unexpected_errors_explained(self.directory):
                        yield from answer(
                            replicas, batch.plan, [a for _, a in owing], self._stop,
                            batch.environment, batch.ladder,
                            partial(self._progress, batch, owing, replicas),
                        )  # fmt: skip
                for point, attempt in attempts:
                    with self._stop.deferred(False):
                        self._finish(point, attempt)
                    yield True  # so that other engines get prompts meanwhile
                with self._stop.deferred(False):
                    self._report.batch_ended([p for p, _ in attempts if p.status == "done"])
            except BaseException as error:
                for point, attempt in attempts:
                    if point.status in ("waiting", "running"):
                        point.status = "interrupted"
                        attempt.fail(error)
                        attempt.finish_tracking()  # before any waits for its own to be sent
                raise
            finally:
                for _, attempt in attempts:
                    attempt.close()
        self._write()

    def _opened(self, point: Point, opened: ExitStack, is_first: bool) -> Attempt | None:
        """Open the point's run and start an attempt; None if it is finished or can't be resumed."""
        job, console = point.job, PointConsole(self._console, point.name, is_first)
        store: Store
        try:
            with unexpected_errors_explained(point.run_dir):
                store, standing = opened.enter_context(open_run(job, console))
                if standing.finished:
                    self._done(point, finished_before(job, standing.finished, console))
                    return None
            point.status = "running"
            # Only the first tracker waits: whether wandb is reachable is decided once.
            patience_s = 0.0 if self._has_tracker else None
            self._has_tracker = True
            with unexpected_errors_explained(point.run_dir):
                return Attempt(job, store, standing, console, patience_s)
        except RolloutError as error:
            if isinstance(error, UserError):
                self._note_refusal(point, error)
            self._fail(point, error)
            return None

    @contextmanager
    def _progress(
        self, batch: Batch, owing: list[tuple[Point, Attempt]], replicas: Replicas
    ) -> Iterator[OnTurn]:
        number = replicas.number
        for point, attempt in owing:
            point.engine = number
            attempt.console.record(f"engine {number} of the sweep; its log: {replicas.log_files}")
        with self._report.progress(owing) as on_turn:
            yield on_turn

    def _finish(self, point: Point, attempt: Attempt) -> None:
        """Publish a complete point; record the error of one that is not."""
        try:
            if attempt.error:
                raise attempt.error
            with unexpected_errors_explained(point.run_dir):
                ended: Summary | RolloutError = attempt.publish(self._stop)
        except RolloutError as error:
            attempt.fail(error)
            ended = error
        report_at_end(attempt)
        attempt.finish_tracking()  # while the other points are published
        (self._done if isinstance(ended, Summary) else self._fail)(point, ended)

    def _done(self, point: Point, summary: Summary) -> None:
        point.figures = figures_of(point.run_dir)
        point.status = "done"
        if summary.exit_code:
            self._fail(point, RolloutError(nothing_answered(summary)))
        else:
            self._report.ended(point)

    def _fail(self, point: Point, error: RolloutError) -> None:
        self.errors[point.run_dir] = error
        if isinstance(error, OF_THE_COMMAND) and (point.run_dir / "summary.json").exists():
            # This command or its export is refused; the point stays finished.
            point.status = "done"
            point.figures = figures_of(point.run_dir)
            return
        point.status, point.error = "failed", str(error.args[0])
        if not isinstance(error, UserError):
            self._report.ended(point)

    # The end.

    def deferred(self) -> AbstractContextManager[None]:
        """Defer signals to the end of the block."""
        return self._stop.deferred() if self._stop else nullcontext()

    @property
    def is_begun(self) -> bool:
        return self._stop is not None

    def take(
        self, point: Point, directory: Path, objective: str | None, error: type | None
    ) -> None:
        """Add a point that another launcher ran to the table; `error` is the type that ended it."""
        self.directory, self._report.is_open = directory, True
        self._report.objective = objective or self._report.objective
        self.points[point.run_dir] = point
        if point.status == "done":
            self._report.batch_ended([point])
        if error:
            self.errors[point.run_dir] = error(point.error)

    def _last_line(self) -> str:
        num_done = sum(point.status == "done" for point in self.points.values())
        num_points = len(self.points) + (self._report.num_to_come or 0)
        again = command_in(self._argv, self.directory)
        return (
            f"interrupted; {num_done} of {num_points} points are done, and every finished "
            f"row of the others is on disk in {self.directory}; to resume: {again}"
        )

    def close(self) -> None:
        """Shut down the engine, write the tables, release the directory."""
        with self._open:
            if self._replicas:
                self._replicas.close()
            self._write()

    def _write(self) -> None:
        """Write the tables, unless the whole command was refused."""
        if self._report.is_open and not self._all_refused:
            try:
                self._report.write(self.directory)
            except (OSError, UserError) as error:
                self.fault = f"the table could not be written: {error}"

    @property
    def _all_refused(self) -> bool:
        return are_all_refused(self.points, self.errors)

    def print_outcome(self) -> int:
        """Print the sweep's result; return the exit code, 2 if nothing could start."""
        if self.dry_run:
            lines = dry_run_lines(self._planned, self.directory, self._console, self._fail)
            self._console.result("\n".join(lines))
        if self._report.is_open and not self._all_refused:
            self._report.print_table(self.directory)
        command = command_in(self._argv, self.directory)
        event, is_dry = self._console.event, self.dry_run
        return say_failures(self.points, self.errors, self.fault, command, is_dry, event)

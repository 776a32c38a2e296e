"""Kill real runs anywhere, resume them, and check that the published file is the same.

    python tests/kill_points.py --points 200
    python tests/kill_points.py --points 10 --engine vllm [--model DIR]

Every point is a run in its own directory that dies by SIGKILL, is resumed by the same command (and
sometimes dies again), and is then left to finish. Its output is compared cell by cell with that of
an undisturbed run. Most points are write boundaries (see killed_rollout.py), each kind of boundary
once before any kind twice; the others are random instants. The last line counts. The exit code is 1
if anything differs, and the directory of that point is kept.
"""

import argparse
import collections
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

TESTS = Path(__file__).resolve().parent
SUPPORT = str(TESTS / "support")
sys.path[:0] = [SUPPORT] * (SUPPORT not in sys.path)  # when run as python tests/kill_points.py

from drilled_run import PATIENCE_S, Run, Story, write_input  # noqa: E402
from drilled_stories import SCRIPTED, SLOW, SMALL_SHARDS, STORIES  # noqa: E402

from rollout.store.store import FLUSH_ROWS  # noqa: E402


@dataclass(frozen=True)
class Point:
    """Where a run is killed: at these boundaries, one per launch, or after these seconds."""

    number: int
    story: Story
    what: str
    boundaries: tuple[int, ...] = ()
    delays_s: tuple[float, ...] = ()
    waits_for_rows: bool = False  # the seconds count from the first row on disk

    def __str__(self) -> str:
        where = f"boundaries {self.boundaries}" if self.boundaries else f"after {self.delays_s} s"
        return f"point {self.number}: {self.story.name}, {self.what}, {where}"


@dataclass
class Counts:
    """Counts of the results of some points."""

    points: int = 0
    kills: int = 0
    resumes: int = 0
    lost: int = 0
    doubled: int = 0
    regenerated: int = 0
    most_per_kill: float = 0  # the worst point's mean over its kills
    faults: list[str] = field(default_factory=list)

    def add(self, other: "Counts") -> None:
        for name in ("points", "kills", "resumes", "lost", "doubled", "regenerated"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.most_per_kill = max(self.most_per_kill, other.most_per_kill)
        self.faults += other.faults

    def __str__(self) -> str:
        return (
            f"{self.points} points, {self.kills} kills, {self.resumes} resumes: "
            f"{self.lost} rows lost, {self.doubled} rows doubled, {self.regenerated} rows "
            f"regenerated (at most {self.most_per_kill:g} per kill, the mean of a point's), "
            f"{len(self.faults)} points "
            "with a fault"
        )


def drill(point: Point, directory: Path, source: Path, undisturbed: Run) -> Counts:
    """Drill one point: kill, resume, finish, compare."""
    counts, faults = Counts(points=1), []
    run = Run(directory, point.story, source)
    expected, before = undisturbed.published(), run.published()
    for stop in point.boundaries or point.delays_s:
        if point.boundaries:
            process = run.launch(boundary=stop)
        else:
            process = run.launch_and_kill_after(stop, point.waits_for_rows)
        if process.returncode == 0:  # ended before it could be killed
            break
        if process.returncode != -signal.SIGKILL:
            faults.append(f"a resumed launch ended by itself, {run.said(process)}")
        counts.kills += 1
        for name, held in run.published().items():
            there = (run.directory / name).exists()
            if there and not any(same(held, whole[name]) for whole in (expected, before)):
                faults.append(f"{name} was half published")
    last = run.launch()
    counts.resumes = counts.kills
    if last.returncode != 0:
        faults.append(f"the last launch failed, {run.said(last)}")
    if "Traceback" in run.said():
        faults.append(f"a traceback: {run.said()}")
    if left := run.leftovers():
        faults.append(f"left behind: {' '.join(left)}")
    found = run.published()
    wanted, table = expected[point.story.output], found[point.story.output]
    if table is None:
        faults.append("no output")
        counts.lost = wanted.num_rows
    else:
        ids, times = set(wanted["id"].to_pylist()), collections.Counter(table["id"].to_pylist())
        counts.lost = len(ids - set(times))
        counts.doubled = times.total() - len(times)
    faults += [
        f"{name} differs from the undisturbed run's"
        for name in expected
        if not same(found[name], expected[name])
    ]
    counts.regenerated, biggest_step = run.finished_rows()
    counts.most_per_kill = counts.regenerated / max(counts.kills, 1)
    if counts.most_per_kill > FLUSH_ROWS + biggest_step:
        faults.append(f"{counts.regenerated} rows regenerated after {counts.kills} kills")
    if faults:
        counts.faults = [f"{point}: {'; '.join(faults)} (kept in {directory})"]
    else:
        shutil.rmtree(directory)
    return counts


def same(held: object, wanted: object) -> bool:
    if isinstance(held, pa.Table) and isinstance(wanted, pa.Table):
        return held.equals(wanted, check_metadata=True)
    return held is not None and held == wanted


# Choosing the points.


def spread(whats: list[str], count: int, rng: random.Random) -> list[int]:
    """Choose `count` of the boundaries 1, 2, ... evenly, each kind once before any kind twice."""
    kinds = collections.defaultdict(list)
    for number, what in enumerate(whats, 1):
        kinds[re.sub(r"\d+", "N", what)].append(number)
    chosen: list[int] = []
    while len(chosen) < count:
        left = list(kinds.values())
        wanted = min(count - len(chosen), len(left))
        for i in range(wanted):
            chosen.append(rng.choice(left[i * len(left) // wanted]))
    return chosen


def boundary_points(story: Story, whats: list[str], count: int, rng: random.Random) -> list[Point]:
    points = []
    for boundary in spread(whats, count, rng):
        stops = [boundary]
        while len(stops) < 3 and rng.random() < 0.4:  # opening, publishing, or anywhere
            stops.append(rng.randint(1, rng.choice((40, 80, len(whats)))))
        points.append(Point(0, story, whats[boundary - 1], tuple(stops)))
    return points


def random_points(story: Story, seconds: float, count: int, rng: random.Random) -> list[Point]:
    points = []
    for _ in range(count):
        delays = [rng.uniform(0.3, seconds) for _ in range(rng.choice((1, 1, 2, 3)))]
        rounded = tuple(round(delay, 3) for delay in delays)
        points.append(Point(0, story, "random instant", delays_s=rounded))
    return points


def scripted_points(
    directory: Path, source: Path, count: int, rng: random.Random, jobs: int
) -> tuple[list[Point], dict[Story, Run]]:
    """Return the points, seven in ten of them at boundaries, and the undisturbed runs."""
    slow = Story("slow", (*SCRIPTED, SMALL_SHARDS, SLOW))
    runs, seconds = {}, {}

    def undisturbed(story: Story) -> None:
        began = time.monotonic()
        run = runs[story] = Run(directory / f"undisturbed-{story.name}", story, source)
        done = run.launch()
        assert done.returncode == 0, run.said(done)
        assert run.finished_rows()[0] == 0 and not run.leftovers()
        seconds[story] = time.monotonic() - began

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(undisturbed, (*STORIES, slow)))
    for run in runs.values():
        assert all(held is not None for held in run.published().values()), run.said()
    new, grown = (runs[story].published()[story.output] for story in STORIES[:2])
    assert new.equals(grown), "a run that grew differs from one that had it all at once"
    num_random = count * 3 // 10
    points = random_points(slow, seconds[slow], num_random, rng)
    left, weight = count - num_random, sum(story.weight for story in STORIES)
    for story in STORIES:
        share = round(left * story.weight / weight)
        left, weight = left - share, weight - story.weight
        points += boundary_points(story, runs[story].boundaries(), share, rng)
    return points, runs


def vllm_points(
    directory: Path, source: Path, count: int, rng: random.Random, model: Path
) -> tuple[list[Point], dict[Story, Run]]:
    """Return random instants: one in five while the engine loads, the others while it runs."""
    words = (
        f"model.model_path={model}", "engine=cpu", "engine.kv_cache_gib=0.25",
        "engine.max_num_seqs=16", "sampling.n_samples=2", "sampling.max_tokens=48",
    )  # fmt: skip
    story = Story("vllm", words)
    run = Run(directory / "undisturbed-vllm", story, source)
    process = run.start(words)
    before, began = run.progress(), time.monotonic()
    while process.poll() is None and run.progress() == before:
        time.sleep(0.05)
    load_s = time.monotonic() - began
    process.wait(PATIENCE_S)
    assert process.returncode == 0, run.said(process)
    work_s = time.monotonic() - began - load_s
    points = []
    for number in range(count):
        loads = number % 5 == 4
        delay_s = round(rng.uniform(0.5, load_s) if loads else rng.uniform(0, 0.6 * work_s), 3)
        what = "while it loads" if loads else "once it runs"
        points.append(Point(0, story, what, delays_s=(delay_s,), waits_for_rows=not loads))
    return points, {story: run}


def drill_all(
    points: int,
    engine: str = "scripted",
    model: Path | None = None,
    jobs: int | None = None,
    seed: int = 0,
    directory: Path | None = None,
    say=print,
) -> Counts:
    """Drill `points` points. Everything that went wrong is in the counts' `faults`."""
    directory = Path(directory or tempfile.mkdtemp(prefix="kill_points-"))
    rng, total = random.Random(seed), Counts()
    jobs = 1 if engine == "vllm" else jobs or os.cpu_count() or 1
    say(f"seed {seed}, {jobs} at a time, in {directory}")
    source = write_input(directory / "in.parquet")
    if engine == "vllm":
        if model is None:
            from tiny_model import make_tiny_model

            model = make_tiny_model(directory / "model")
        chosen, wanted = vllm_points(directory, source, points, rng, model)
    else:
        chosen, wanted = scripted_points(directory, source, points, rng, jobs)
        rng.shuffle(chosen)
    chosen = [
        Point(number, p.story, p.what, p.boundaries, p.delays_s, p.waits_for_rows)
        for number, p in enumerate(chosen, 1)
    ]
    say(f"undisturbed runs of {', '.join(story.name for story in wanted)} are done")

    def one(point: Point) -> Counts:
        return drill(point, directory / str(point.number), source, wanted[point.story])

    with ThreadPoolExecutor(jobs) as pool:
        for point, counts in zip(chosen, pool.map(one, chosen), strict=True):
            total.add(counts)
            for fault in counts.faults:
                say(f"FAULT {fault}")
            if engine == "vllm" or point.number % 10 == 0:
                say(f"{point.number}/{len(chosen)}: {total}")
    if not total.faults:
        shutil.rmtree(directory)
    return total


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--points", type=int, default=200)
    parser.add_argument("--engine", choices=("scripted", "vllm"), default="scripted")
    parser.add_argument("--model", type=Path, help="for vllm; default: a tiny random one")
    parser.add_argument("--jobs", type=int, help="points at a time; default: one per core")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    total = drill_all(args.points, args.engine, args.model, args.jobs, args.seed)
    print(total)
    return int(bool(total.faults))


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)
    sys.exit(main())

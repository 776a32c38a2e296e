"""A run in its own directory and processes, to be killed and inspected afterwards."""

import collections
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
from processes import DATA, environment

NUM_ROWS = 400
PATIENCE_S = 300
SCORER = DATA / "drilled_scorer.py"
KILLED_ROLLOUT = Path(__file__).resolve().parent / "killed_rollout.py"


@dataclass(frozen=True)
class Story:
    """A disturbed run: the words of its launches, the undisturbed ones first."""

    name: str
    words: tuple[str, ...]
    before: tuple[str, ...] = ()  # the words of an earlier, finished launch, if any
    output: str = "run/output.parquet"
    weight: int = 1
    also: tuple[str, ...] = ()  # other published files


class Run:
    """One run in its own directory."""

    def __init__(self, directory: Path, story: Story, source: Path):
        directory.mkdir(parents=True)
        self.directory, self.story = directory, story
        self.output = directory / story.output
        self.journal = directory / "journal"
        shutil.copy(source, directory / "in.parquet")
        shutil.copy(SCORER, directory / "scorer.py")
        if story.before:
            done = self.launch(story.before)
            assert done.returncode == 0, self.said(done)
            self.journal.rename(directory / "journal.before")

    def start(self, words: tuple[str, ...], boundary: int = 0) -> subprocess.Popen:
        common = "data.input=in.parquet", "run_dir=run", "tracking=none"
        with (self.directory / "said").open("ab") as said:
            return subprocess.Popen(
                [sys.executable, KILLED_ROLLOUT, *common, *words],
                cwd=self.directory,
                env=environment(
                    DRILL_DIR=str(self.directory),
                    DRILL_JOURNAL=str(self.journal),
                    DRILL_AT=str(boundary),
                ),
                stdout=subprocess.DEVNULL,
                stderr=said,
            )

    def launch(self, words: tuple[str, ...] = (), boundary: int = 0) -> subprocess.Popen:
        """Launch and wait for the end, however it comes."""
        process = self.start(words or self.story.words, boundary)
        process.wait(PATIENCE_S)
        return process

    def launch_and_kill_after(self, delay_s: float, waits_for_rows: bool) -> subprocess.Popen:
        """Kill the process from outside, without its children."""
        process = self.start(self.story.words)
        before = self.progress()
        while waits_for_rows and process.poll() is None and self.progress() == before:
            time.sleep(0.05)
        end = time.monotonic() + delay_s
        while process.poll() is None and time.monotonic() < end:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE_S)
        return process

    def published(self) -> dict[str, object]:
        """Return the contents of each published file; None if it is missing or unreadable."""
        return {
            name: self._held(self.directory / name)
            for name in (self.story.output, *self.story.also)
        }

    def _held(self, path: Path) -> object:
        try:
            if path.suffix in (".json", ".jsonl"):
                return path.read_text().replace(str(self.directory), "HERE")
            return pq.read_table(path)
        except (OSError, ValueError):
            return None

    def progress(self) -> int:
        """Return a number of bytes that grows once rows come out of the engine."""
        files = [*self.directory.glob("run/shards/*.log")]
        files += self.directory.glob("run/attempts/*/metrics.jsonl")
        return sum(path.stat().st_size for path in files if path.exists())

    def said(self, process: subprocess.Popen | None = None) -> str:
        text = (self.directory / "said").read_text(errors="replace")[-2000:]
        return f"exit {process.returncode}: {text}" if process else text

    def boundaries(self) -> list[str]:
        """Return the writes of a run that was launched once."""
        lines = self.journal.read_text().splitlines()
        return [line.split(" ", 2)[2] for line in lines if line.startswith("write ")]

    def finished_rows(self) -> tuple[int, int]:
        """Return the rows finished more than once, and the most rows finished in one step."""
        steps = [
            line.split()[1:]
            for line in self.journal.read_text().splitlines()
            if line.startswith("rows ")
        ]
        finished = collections.Counter(row for step in steps for row in step)
        return finished.total() - len(finished), max(map(len, steps), default=0)

    def leftovers(self) -> list[str]:
        """Return files that a finished run must not have."""
        found = [*self.directory.rglob("*.tmp"), *self.directory.glob("run/shards/*.log")]
        return sorted(str(path.relative_to(self.directory)) for path in found)


def write_input(path: Path) -> Path:
    """Write prompts with an id, some of them bad."""
    prompts: list[str | None] = [f"question {i}: what is {i} plus {i}?" for i in range(NUM_ROWS)]
    prompts[5], prompts[NUM_ROWS // 2], prompts[-1] = None, "", "far too long " * 2000
    answers = [f"{i} or so" for i in range(NUM_ROWS)]
    frame = pd.DataFrame({"prompt": prompts, "id": range(NUM_ROWS), "answer": answers})
    frame.to_parquet(path)
    return path

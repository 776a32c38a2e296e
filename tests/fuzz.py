"""Fuzz one class of input: run seeded cases on the real commands, and print a line of counts.

    python tests/fuzz.py places --cases 200 [--seed 1] [--jobs 2]
    python tests/fuzz.py all --cases 50

A class is a module drills/fuzz_NAME.py with `case(rng, directory) -> Outcome`. Its expectations
come from the promises of the README and docs/, not from the code. Every case has its own directory
and seed, so `--seed S --cases 1` repeats case S. The directory of a case with a fault is kept. The
exit code is 1 if there was a fault. The short form runs in test_fuzz.py.
"""

import argparse
import collections
import importlib
import os
import random
import shutil
import sys
import tempfile
import traceback
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

TESTS = Path(__file__).resolve().parent
PATHS = (TESTS / "support", TESTS / "drills", TESTS.parent)
sys.path[:0] = [str(path) for path in PATHS if str(path) not in sys.path]


@dataclass(frozen=True)
class Outcome:
    """The result of a case: a kind to count by, such as `refused`, and the fault if there is one.

    A fault says what was done, what was expected and what was seen.
    """

    kind: str
    fault: str = ""


def classes() -> list[str]:
    return sorted(path.stem.removeprefix("fuzz_") for path in (TESTS / "drills").glob("fuzz_*.py"))


def run_case(name: str, seed: int, base: Path) -> Outcome:
    """Run one case in its own directory, which is kept if there is a fault."""
    directory = base / f"{name}-{seed}"
    directory.mkdir(parents=True)
    before = Path.cwd()
    try:
        os.chdir(directory)
        outcome = importlib.import_module(f"fuzz_{name}").case(random.Random(seed), directory)
    except Exception:
        outcome = Outcome("broke", f"the case itself broke: {traceback.format_exc()}")
    finally:
        os.chdir(before)
    if not outcome.fault:
        shutil.rmtree(directory, ignore_errors=True)
        return outcome
    return Outcome(outcome.kind, f"{name} --seed {seed}: {outcome.fault} (kept in {directory})")


def fuzz(name: str, num_cases: int, seed: int, jobs: int, base: Path) -> list[Outcome]:
    """Return the outcomes of cases `seed`, `seed + 1`, ..., in that order."""
    seeds = range(seed, seed + num_cases)
    if jobs == 1:
        return [run_case(name, number, base) for number in seeds]
    with ProcessPoolExecutor(jobs) as pool:
        return list(pool.map(partial(run_case, name, base=base), seeds))


def counted(name: str, outcomes: list[Outcome]) -> str:
    kinds = collections.Counter(outcome.kind for outcome in outcomes)
    faults = sum(bool(outcome.fault) for outcome in outcomes)
    listed = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
    return f"{name}: {len(outcomes)} cases ({listed}), {faults} with a fault"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("name", choices=[*classes(), "all"])
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    words = parser.parse_args()
    base, lines, num_faults = Path(tempfile.mkdtemp(prefix="fuzz-")), [], 0
    for name in classes() if words.name == "all" else [words.name]:
        outcomes = fuzz(name, words.cases, words.seed, words.jobs, base)
        for fault in (outcome.fault for outcome in outcomes if outcome.fault):
            num_faults += 1
            print(fault, flush=True)
        lines.append(counted(name, outcomes))
    print("\n".join(lines))
    sys.exit(bool(num_faults))


if __name__ == "__main__":
    main()

"""One case of the bad-input corpus: the files, the words typed, and the required result."""

from dataclasses import dataclass

from bad_input import NAME, Build, good

INPUT = f"data.input={NAME}"
JSON = "data.prompt_format=json"


@dataclass(frozen=True)
class Case:
    """The files, the words typed, and the required result."""

    build: Build
    words: tuple[str, ...]
    says: tuple[str, ...] = ()  # parts of the one line
    errors: dict[int, str] | None = None  # row -> part of its error
    code: int = 2  # if it prints a line


def refused(build: Build, *says: str, words: tuple[str, ...] = (INPUT,)) -> Case:
    return Case(build, words, says)


def broken(build: Build, *says: str) -> Case:
    """A case whose error is found only after work has begun: exit code 1."""
    return Case(build, (INPUT,), says, code=1)


def typed_so(words: str, *says: str, build: Build = good) -> Case:
    """Return cases of words (one per line) typed with a good input."""
    return Case(build, (INPUT, *words.split("\n")), says)


def bad_rows(errors: dict[int, str], build: Build, *words: str) -> Case:
    return Case(build, (INPUT, *words), errors=errors)


def fine(build: Build, *words: str) -> Case:
    return Case(build, words or (INPUT,), errors={})

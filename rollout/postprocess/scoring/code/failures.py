"""Describe errors of programs and tests in one line and as tracebacks with source lines.

Must import only the standard library (see contained.py).
"""

from types import TracebackType

PROGRAM, TEST, SETUP = "main.py", "test.py", "setup.py"  # file names in tracebacks
MAX_TRACE = 20_000  # characters
MAX_ERROR = 300
_SOURCES: dict[str, str] = {}


def add_source(text: str, file: str) -> None:
    """Register a text that is not a file, so that tracebacks can show its lines."""
    _SOURCES[file] = text


def describe(error: BaseException) -> dict[str, str]:
    """Return `error`, its type and message in one line, and `trace`, its traceback.

    The traceback starts at the first line of the program or the tests. It is empty for a failed
    check of the tests, because then the program is wrong but raised nothing.
    """
    import linecache  # here, because most programs do not need it
    import traceback

    for file, text in _SOURCES.items():
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    try:
        text, line, begin, frames = " ".join(str(error).split()), "", None, _frames(error)
        for file, frame in frames:
            if begin is None and file in (PROGRAM, TEST, SETUP):
                begin = frame
            if file == TEST:
                line = linecache.getline(file, frame.tb_lineno).strip()
        if not text and isinstance(error, AssertionError):
            text = line  # a bare assert has no message
        if isinstance(error, AssertionError) and PROGRAM not in dict(frames):
            return {"error": f"AssertionError: {text}"[:MAX_ERROR], "trace": ""}
        trace = "".join(traceback.format_exception(type(error), error, begin))
        error_text = f"{type(error).__name__}: {text}".rstrip(": ")
        return {"error": error_text[:MAX_ERROR], "trace": trace[-MAX_TRACE:]}
    except BaseException:  # the error's own __str__ may do anything
        return {"error": type(error).__name__, "trace": ""}


def _frames(error: BaseException) -> list[tuple[str, TracebackType]]:
    """Return the file and the frame of each level of the traceback, the outermost first."""
    found, frame = [], error.__traceback__
    while frame is not None:
        found.append((frame.tb_frame.f_code.co_filename, frame))
        frame = frame.tb_next
    return found


def is_of_tests(error: BaseException) -> bool:
    """Whether a line of the tests raised it, rather than code that they call."""
    files = [file for file, _ in _frames(error) if not file.startswith("<frozen")]
    return files[-1:] == [TEST]

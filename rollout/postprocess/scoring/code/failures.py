"""Errors of programs and tests in one line and whole, with the lines of the texts they ran.

Standard library only: it is imported beside a program that is tried (see contained.py).
"""

PROGRAM, TEST, SETUP = "main.py", "test.py", "setup.py"  # the files that tracebacks name
MAX_TRACE = 20_000  # characters
MAX_ERROR = 300
_TEXTS: dict[str, str] = {}


def remember(text: str, file: str) -> None:
    """Have tracebacks show the lines of a text that is no file."""
    _TEXTS[file] = text


def told(error: BaseException) -> dict[str, str]:
    """`error`, its type and message in a line; `trace`, from the first frame of ours on.

    A check of the tests that failed has no trace: it is an answer that is wrong.
    """
    import linecache  # most programs need none of this
    import traceback

    for file, text in _TEXTS.items():
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    try:
        text, line, begin, files = " ".join(str(error).split()), "", None, set()
        frame = error.__traceback__
        while frame is not None:
            file = frame.tb_frame.f_code.co_filename
            files.add(file)
            if begin is None and file in (PROGRAM, TEST, SETUP):
                begin = frame
            if file == TEST:
                line = linecache.getline(file, frame.tb_lineno).strip()
            frame = frame.tb_next
        is_failed_check = isinstance(error, AssertionError) and PROGRAM not in files
        if not text and isinstance(error, AssertionError):
            text = line  # a bare assert says nothing else
        if is_failed_check:  # the program is wrong, and nothing was raised in it
            return {"error": f"AssertionError: {text}"[:MAX_ERROR], "trace": ""}
        trace = "".join(traceback.format_exception(type(error), error, begin))
        error_text = f"{type(error).__name__}: {text}".rstrip(": ")
        return {"error": error_text[:MAX_ERROR], "trace": trace[-MAX_TRACE:]}
    except BaseException:  # its own __str__ may do anything
        return {"error": type(error).__name__, "trace": ""}


def is_of_tests(error: BaseException) -> bool:
    """Whether it was raised by a line of the tests, rather than by what they call."""
    files, frame = [], error.__traceback__
    while frame is not None:
        files.append(frame.tb_frame.f_code.co_filename)
        frame = frame.tb_next
    return [file for file in files if not file.startswith("<frozen")][-1:] == [TEST]

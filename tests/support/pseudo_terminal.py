"""Run a command on a pseudo-terminal, and read what it draws."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def run_on_terminal(command, columns, environment, cwd, lines=40):
    """Return the exit code and all that the command wrote to a terminal of `columns`."""
    main, own = pty.openpty()
    fcntl.ioctl(own, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    process = subprocess.Popen(
        command, stdin=own, stdout=own, stderr=own, env=environment, cwd=cwd, close_fds=True
    )
    os.close(own)
    written = b""
    while True:
        try:
            part = os.read(main, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        written += part
    os.close(main)
    return process.wait(), written.decode()


def drawn_lines(written):
    """Return every line that was drawn, also those that were overwritten later."""
    return [line.rstrip() for line in re.split(r"[\r\n]+", CONTROL.sub("", written))]

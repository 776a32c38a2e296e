"""Contain one program: run as `python -I contained.py WORK REPORT OUTPUT_BYTES PARENT`.

WORK and REPORT are file descriptors, PARENT is the process id of the worker. The program has no
network and its own process tree (namespaces, if the kernel allows them), limits on CPU time,
memory and output, and an audit hook. The hook refuses to start processes, signal other processes,
change files outside the working directory and, without namespaces, open sockets. The program is
killed when its worker dies.

This stops accidents and careless code. Hostile code can get around it: Python's audit hooks are
not a sandbox, and the program can read every file that the user can read.

Must import only the standard library and trial.py, which does the same, because both are imported
anew for every program.
"""

# ruff: noqa: PTH100, PTH123
import ctypes
import json
import os
import resource
import signal
import sys

NEW_USER, NEW_PID, NEW_NET, NEW_IPC = 0x10000000, 0x20000000, 0x40000000, 0x08000000
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
TASKS = 64  # threads it may start, in addition to those on the machine
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
PROCESS_EVENTS = ("subprocess.Popen", "os.system", "os.exec", "os.fork", "os.forkpty",
                  "os.posix_spawn", "os.spawn", "pty.spawn")  # fmt: skip
FILE_EVENTS = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.chmod", "os.chown", "os.link",
               "os.symlink", "os.truncate", "os.utime", "os.setxattr", "shutil.rmtree",
               "shutil.move", "shutil.chown", "shutil.copyfile")  # fmt: skip


def main() -> None:
    work_file, report, output_bytes, parent = map(int, sys.argv[1:5])
    die_with_parent(parent)
    sys.set_int_max_str_digits(0)
    with open(work_file, "rb") as file:
        work = json.load(file)
    sys.path.insert(
        0, os.path.abspath(__file__).removesuffix("/rollout/postprocess/scoring/code/contained.py")
    )
    from rollout.postprocess.scoring.code.trial import try_out

    has_namespaces = isolate()
    if has_namespaces:
        wait_in_parent(os.fork())  # the namespace's first process: when it ends, all in it end
        die_with_parent()
        wait_in_parent(os.fork())
        die_with_parent()
    set_limits(work, output_bytes)
    sys.argv = ["main.py"]
    sys.addaudithook(audit_hook(work["inside"], has_namespaces))
    try_out(work, report)


def die_with_parent(parent: int | None = None) -> None:
    """Have the kernel kill this process when its parent ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent is not None and os.getppid() != parent:  # it has already ended
        os._exit(1)


def isolate() -> bool:
    """Enter new user, process and network namespaces; return False if the kernel refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    user, group = os.getuid(), os.getgid()
    if libc.unshare(NEW_USER | NEW_PID | NEW_NET | NEW_IPC):
        return False
    try:
        maps = {"uid_map": f"{user} {user} 1", "gid_map": f"{group} {group} 1"}
        for name, text in {"setgroups": "deny", **maps}.items():
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    except OSError:
        pass  # it then runs as nobody, which works too
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # changing the user has cleared it
    return True


def wait_in_parent(child: int) -> None:
    """In the parent of a fork, wait for the child and exit with its code."""
    if child:
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        os._exit(code if code >= 0 else 128 - code)


def set_limits(work: dict, output_bytes: int) -> None:
    with open("/proc/loadavg") as file:  # kernels before 5.14 count all of the user's threads
        tasks = TASKS + int(file.read().split()[3].partition("/")[2])
    limits = {
        resource.RLIMIT_CPU: work["seconds"],
        resource.RLIMIT_AS: work["memory"],
        resource.RLIMIT_FSIZE: output_bytes,
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: tasks,
    }
    for name, most in limits.items():
        hard = resource.getrlimit(name)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(name, (most, most))


def audit_hook(inside: str, has_namespaces: bool):
    """Return the audit hook, which raises PermissionError for a forbidden event."""
    own, inside = os.getpid(), os.path.realpath(inside)
    realpath, join, fspath = os.path.realpath, os.path.join, os.fsdecode

    def is_inside(path: object, directory: object = -1) -> bool:
        if isinstance(path, int):
            return True  # a file that is already open
        path = fspath(path)
        if isinstance(directory, int) and directory >= 0:
            path = join(f"/proc/self/fd/{directory}", path)
        path = realpath(path)
        return path == inside or path.startswith(inside + "/") or path == "/dev/null"

    def refuse(what: str) -> None:
        raise PermissionError(f"{what} is not allowed here")

    def hook(event: str, args: tuple) -> None:
        if event == "open":
            path, _, flags = args
            if flags & WRITES and not is_inside(path):
                refuse("writing outside the working directory")
        elif event in PROCESS_EVENTS:
            refuse("starting a process")
        elif event in ("os.kill", "os.killpg"):
            if event == "os.killpg" or args[0] != own:
                refuse("sending a signal to another process")
        elif event in FILE_EVENTS:
            directories = [a for a in args[1:] if isinstance(a, int)]
            paths = [a for a in args if isinstance(a, str | bytes | os.PathLike)]
            directory = directories[-1] if event in ("os.remove", "os.rmdir", "os.mkdir") else -1
            if not all(is_inside(path, directory) for path in paths):
                refuse("changing files outside the working directory")
        elif not has_namespaces and event.startswith("socket."):
            refuse("the network")

    return hook


if __name__ == "__main__":
    main()

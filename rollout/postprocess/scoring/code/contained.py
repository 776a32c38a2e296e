"""One program, contained: run as `python -I contained.py WORK REPORT OUTPUT_BYTES`.

It gets no network and a process tree of its own (namespaces, where the kernel lets a user have
them), limits on CPU time, memory and what it writes, and an audit hook that refuses what a
solution has no business with: starting processes, signals to others, changing files outside its
directory and, where there are no namespaces, sockets. It dies with the worker that started it.
This stops accidents and careless code. Code that sets out to get around it can: Python's audit
hooks are no sandbox, and files that the user may read can be read.

It imports the standard library and its neighbour trial.py, which imports no more.
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
TASKS = 64  # threads it may start, beyond those of the machine
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn",
          "os.spawn", "pty.spawn")  # fmt: skip
CHANGES = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.chmod", "os.chown", "os.link",
           "os.symlink", "os.truncate", "os.utime", "os.setxattr", "shutil.rmtree", "shutil.move",
           "shutil.chown", "shutil.copyfile")  # fmt: skip


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
        hold(os.fork())  # the first process of its namespace; all in it end when that ends
        die_with_parent()
        hold(os.fork())
        die_with_parent()
    limit(work, output_bytes)
    sys.argv = ["main.py"]
    sys.addaudithook(refusal(work["inside"], has_namespaces))
    try_out(work, report)


def die_with_parent(parent: int | None = None) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent is not None and os.getppid() != parent:  # it died before
        os._exit(1)


def isolate() -> bool:
    """Namespaces of users, processes and networks, where the kernel allows them."""
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
        pass  # it is nobody there, which does as well
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # lost with the change of user
    return True


def hold(child: int) -> None:
    """In the parent of a fork, wait for the child and end as it did."""
    if child:
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        os._exit(code if code >= 0 else 128 - code)


def limit(work: dict, output_bytes: int) -> None:
    with open("/proc/loadavg") as file:  # kernels before 5.14 count all that the user runs
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


def refusal(inside: str, has_namespaces: bool):
    """The audit hook: raises PermissionError for what is not to be done."""
    own, inside = os.getpid(), os.path.realpath(inside)
    realpath, join, fspath = os.path.realpath, os.path.join, os.fsdecode

    def is_inside(path: object, directory: object = -1) -> bool:
        if isinstance(path, int):
            return True  # opened before
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
        elif event in STARTS:
            refuse("starting a process")
        elif event in ("os.kill", "os.killpg"):
            if event == "os.killpg" or args[0] != own:
                refuse("a signal to another process")
        elif event in CHANGES:
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

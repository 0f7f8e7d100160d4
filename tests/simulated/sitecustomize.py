"""Take away from Python on Linux what macOS or Windows lack; SIMULATED says which.

A process does this that finds the file on its path, and every process that it starts. Only what
infoplane calls is refused: the libraries have their own code for each system.
"""

import builtins
import errno
import os
import stat
import sys

GONE = {
    "macos": ("sched_getaffinity", "posix_fallocate", "O_TMPFILE", "O_PATH", "process_cpu_count"),
    "windows": (
        "sched_getaffinity", "posix_fallocate", "O_TMPFILE", "O_PATH", "process_cpu_count",
        "pread", "pwrite", "preadv", "pwritev", "O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC",
        "O_DIRECTORY", "geteuid", "getuid", "mkfifo", "fchmod",
    ),
}  # fmt: skip
MODULES = {"fcntl", "resource", "termios", "pwd", "grp"}
AT_ONCE = 1 << 21  # bytes that macOS takes: 2 GiB, made small
SYSTEM = os.environ.get("SIMULATED", "")


def asks(depth: int = 2) -> bool:
    """Tell whether infoplane calls, directly or by way of pathlib."""
    frame = sys._getframe(depth)
    while frame.f_back and "pathlib" in frame.f_code.co_filename:
        frame = frame.f_back
    return str(frame.f_globals.get("__name__", "")).startswith("infoplane")


def refuse_large_writes() -> None:
    write = os.pwrite

    def pwrite(descriptor, data, offset):
        if len(data) > AT_ONCE:
            raise OSError(errno.EINVAL, "Invalid argument")
        return write(descriptor, data, offset)

    os.pwrite = pwrite


def refuse_modules() -> None:
    load = builtins.__import__

    def guarded(name, globals=None, locals=None, fromlist=(), level=0):
        if name in MODULES and str((globals or {}).get("__name__")).startswith("infoplane"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return load(name, globals, locals, fromlist, level)

    builtins.__import__ = guarded


def is_open(path) -> bool:
    """Tell whether this process has a file open, or mapped."""
    try:
        status = os.stat(path)
    except OSError:
        return False
    if stat.S_ISDIR(status.st_mode):
        return False
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            if os.path.samestat(os.fstat(int(descriptor)), status):
                return True
        except OSError:
            continue
    with open("/proc/self/maps") as maps:
        device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
        mapped = {tuple(line.split()[3:5]) for line in maps}
    return (device, str(status.st_ino)) in mapped


def keep_what_is_open() -> None:
    def guarded(change):
        def guard(*paths, **options):
            if asks() and any(map(is_open, paths)):
                raise PermissionError(errno.EACCES, "used by another process", str(paths[0]))
            return change(*paths, **options)

        return guard

    for name in ("replace", "rename", "unlink", "remove"):
        setattr(os, name, guarded(getattr(os, name)))


def open_as_windows() -> None:
    open_ = os.open
    os.O_BINARY = 1 << 30  # is not given to the system

    def opened(path, flags, mode=0o777, **options):
        if asks() and os.path.isdir(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        if asks() and set(os.path.basename(os.fspath(path))) & set('<>:"|?*\\'):
            raise OSError(errno.EINVAL, "Invalid argument", str(path))
        binary = flags & os.O_BINARY
        writes = flags & (os.O_WRONLY | os.O_RDWR)
        if asks() and not binary and writes and not flags & os.O_EXCL and path != os.devnull:
            raise AssertionError(f"{path}: would be written as text")
        return open_(path, flags & ~os.O_BINARY, mode, **options)

    os.open = opened


if SYSTEM:
    for missing in GONE[SYSTEM]:
        if hasattr(os, missing):
            delattr(os, missing)
if SYSTEM == "macos":
    refuse_large_writes()
if SYSTEM == "windows":
    refuse_modules()
    keep_what_is_open()
    open_as_windows()

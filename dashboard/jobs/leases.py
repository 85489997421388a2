"""Who holds a piece of work: a process, named so that another process on the same host can tell whether it still lives."""

import functools
import os
import socket
from pathlib import Path


def _start_ticks(pid: int) -> str:
    """When the process began, in clock ticks since boot: tells a process from a later one with the same id. "0" if unknown."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "0"
    # The program's name stands in brackets and may hold anything; the 22nd field is the 20th after it.
    return stat.rpartition(")")[2].split()[19]


@functools.lru_cache(maxsize=4)
def _name(pid: int) -> str:
    return f"{socket.gethostname()}:{pid}:{_start_ticks(pid)}"


def me() -> str:
    """The name of this process: `host:pid:startticks`."""
    return _name(os.getpid())


def alive(lease: str) -> bool:
    """Whether the process that `lease` names may still live. True when it runs on another host: only its heartbeat can tell."""
    host, _, rest = lease.rpartition(":")[0].rpartition(":")
    ticks = lease.rpartition(":")[2]
    if not host or not rest.isdigit():
        return False
    if host != socket.gethostname():
        return True
    pid = int(rest)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return _start_ticks(pid) == ticks

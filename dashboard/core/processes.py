"""What one process owes another."""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # Linux, prctl(2)


def die_with_parent() -> None:
    """Have the kernel end this process when the one that started it ends, however that came about.

    A server killed with SIGKILL would otherwise leave its worker process behind, holding the port. Only under a supervisor of
    ours: a process started by init or a shell is left alone.
    """
    if sys.platform != "linux" or os.environ.get("VITRINE_SUPERVISED") != str(os.getppid()):
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

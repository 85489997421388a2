"""qemu-img: what a disk image is, how large it would become, and turning one format into another.

The only module of the product that runs a program. Every call names its formats (nothing is ever probed), uses absolute
file names, and runs without a shell, with a scrubbed environment, below our priority, under limits of memory, processor
time, file size and wall clock. The child dies with the thread that started it, and with its caller's cancelling.

Formats are named as Glance names them; `vhd` is qemu's `vpc` and `ploop` its `parallels`.
"""

import functools
import json
import logging
import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from dashboard.core import errors

logger = logging.getLogger(__name__)

DRIVERS: Mapping[str, str] = {
    "raw": "raw", "iso": "raw", "ami": "raw", "ari": "raw", "aki": "raw",
    "qcow2": "qcow2", "vmdk": "vmdk", "vdi": "vdi", "vhd": "vpc", "vhdx": "vhdx", "luks": "luks", "ploop": "parallels",
}  # fmt: skip
# force_size: without it qemu rounds the disk up to whole cylinders.
TARGETS: Mapping[str, str] = {
    "raw": "", "qcow2": "compat=1.1", "vmdk": "subformat=monolithicSparse", "vdi": "",
    "vhd": "subformat=dynamic,force_size=on", "vhdx": "subformat=dynamic,block_size=2M",
}  # fmt: skip
# qemu-img measures raw and qcow2 only. The others are measured as qcow2 with clusters as large as their blocks.
CLUSTERS: Mapping[str, str] = {"qcow2": "64k", "vmdk": "64k", "vdi": "1M", "vhd": "2M", "vhdx": "2M"}
OVERHEAD = 8 * 2**20  # their headers and tables, generously
MEMORY = 2 * 2**30  # below 512 MiB qemu-img aborts
OUTPUT = 2**20  # what is kept of a child's stdout and of its stderr
POLL = 0.2  # seconds between two looks at `cancelled` and at the clock
PROGRESS = re.compile(rb"\((\d+(?:\.\d+)?)/100%\)")
# Where neither prlimit nor setpriv is installed: the same in Python, in a process of its own. preexec_fn would be shorter
# and is unsafe in a program with threads.
TRAMPOLINE = """
import ctypes, os, resource, sys
parent, memory, cpu, fsize = map(int, sys.argv[1:5])
ctypes.CDLL(None).prctl(1, 9)
if os.getppid() != parent: os._exit(1)
for limit, value in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, cpu), (resource.RLIMIT_FSIZE, fsize)):
    resource.setrlimit(limit, (value, value))
os.execv(sys.argv[5], sys.argv[5:])
"""


class Cancelled(errors.Conflict):
    """`cancelled()` said so: the child is gone and the unfinished target removed."""

    message = gettext_lazy("The conversion was cancelled.")


@dataclass(frozen=True, slots=True)
class Info:
    """What qemu-img says about an image; `details` is its JSON."""

    format: str
    virtual_size: int
    stands_alone: bool
    encrypted: bool
    snapshots: int
    corrupt: bool
    details: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Measure:
    """Bytes a conversion would take: now, and once every block of the disk has been written."""

    required: int
    fully_allocated: int


@dataclass(frozen=True, slots=True)
class _Limits:
    cpu: int  # seconds
    wall: float  # seconds
    fsize: int  # bytes


_QUICK = _Limits(cpu=30, wall=60, fsize=2**20)


def program() -> str | None:
    """The absolute path of qemu-img, or None where it is not installed."""
    found = shutil.which("qemu-img")
    return str(Path(found).resolve()) if found else None


def available() -> bool:
    return program() is not None


def version() -> str | None:
    """The version qemu-img reports, such as "7.2.22"; None where it is not installed."""
    path = program()
    return _version(path) if path else None


@functools.lru_cache(maxsize=4)
def _version(path: str) -> str | None:
    output = _run([path, "--version"], _QUICK).decode("ascii", "replace")
    match = re.search(r"version (\d+(?:\.\d+)+)", output)
    return match.group(1) if match else None


def info(path: Path, fmt: str, *, offset: int = 0, length: int | None = None) -> Info:
    """Describe the image in `path`, opened as `fmt` and as nothing else; with `offset`, one that lies inside the file."""
    answer = _json(["info", "--output=json", "-U", "--image-opts", _source(path, fmt, offset, length)], fmt)
    specific = answer.get("format-specific", {}).get("data", {})
    return Info(
        format=fmt,
        virtual_size=int(answer["virtual-size"]),
        stands_alone=not any(key in answer for key in ("backing-filename", "full-backing-filename")) and not specific.get("data-file"),
        encrypted=bool(answer.get("encrypted")),
        snapshots=len(answer.get("snapshots", ())),
        corrupt=bool(specific.get("corrupt")),
        details=answer,
    )


def measure(path: Path, fmt: str, out: str) -> Measure:
    """How many bytes the image would take as `out`: exactly for raw and qcow2, at most for the others."""
    if out not in TARGETS:
        raise _not_a_target(out)
    options = ["-O", "qcow2", "-o", f"cluster_size={CLUSTERS[out]}"] if out in CLUSTERS else ["-O", "raw"]
    answer = _json(["measure", "--output=json", *options, "--image-opts", _source(path, fmt)], fmt)
    overhead = 0 if out in {"raw", "qcow2"} else OVERHEAD
    return Measure(int(answer["required"]) + overhead, int(answer["fully-allocated"]) + overhead)


def convert(
    source: Path,
    source_format: str,
    target: Path,
    target_format: str,
    *,
    on_progress: Callable[[float], None],
    cancelled: Callable[[], bool],
) -> None:
    """Write `source` as `target_format` to `target`, which is removed again unless all goes well.

    `on_progress` receives per cent, rising to 100. `cancelled` is asked at least four times a second; when it says yes (or
    raises) the child is killed and reaped. Holes stay holes. The target is not synced to disk: whoever keeps it does that.
    """
    if target_format not in TARGETS:
        raise _not_a_target(target_format)
    about = info(source, source_format)
    if not about.stands_alone or about.encrypted:
        raise errors.UnsupportedFormat(_("Only images that stand alone and are not encrypted can be converted."))
    size = about.virtual_size
    rate = settings.CONVERSION_RATE * 2**20
    wall = 600 + size // min(rate or 2**40, 4 * 2**20)
    limits = _Limits(cpu=120 + size // (10 * 2**20), wall=wall, fsize=size + size // 16 + 64 * 2**20)
    options = ["-o", TARGETS[target_format]] if TARGETS[target_format] else []
    options += ["-r", str(rate)] if rate else []
    # Two pieces in flight: as fast as the default eight here, and per cent then counts what is written, not what is only read.
    argv = [_program(), "convert", "-p", "-m", "2", *options, "-O", DRIVERS[target_format], "--image-opts", _source(source, source_format)]
    reader = _ProgressReader(on_progress)
    try:
        _run([*argv, str(target.absolute())], limits, fmt=source_format, on_output=reader.feed, cancelled=cancelled)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    reader.report(100.0)


def _not_a_target(fmt: str) -> errors.BadRequest:
    return errors.BadRequest(_("Images cannot be converted to %(format)s.") % {"format": repr(fmt)[:40]})


class _ProgressReader:
    """Turns what `qemu-img -p` prints, in any pieces, into rising percentages."""

    def __init__(self, on_progress: Callable[[float], None]) -> None:
        self.on_progress = on_progress
        self.pending = b""
        self.last = -1.0

    def feed(self, data: bytes) -> None:
        *records, self.pending = (self.pending + data).split(b"\r")
        self.pending = self.pending[-64:]
        for record in records:
            if match := PROGRESS.search(record):
                self.report(float(match.group(1)))

    def report(self, percent: float) -> None:
        if percent > self.last:
            self.last = percent
            self.on_progress(min(percent, 100.0))


def _program() -> str:
    path = program()
    if path is None:
        raise errors.Unavailable(_("qemu-img is not installed on this server, so disk images cannot be examined or converted."))
    return path


def _source(path: Path, fmt: str, offset: int = 0, length: int | None = None) -> str:
    """The image options that open `path` as `fmt`, with a plain file below; a comma in a value is written twice."""
    name = str(path.absolute()).replace(",", ",,")
    driver = _driver(fmt)
    if length is None:
        return f"driver={driver},file.driver=file,file.filename={name}"
    return f"driver={driver},file.driver=raw,file.offset={offset},file.size={length},file.file.driver=file,file.file.filename={name}"


def _driver(fmt: str) -> str:
    try:
        return DRIVERS[fmt]
    except KeyError:
        raise errors.BadRequest(_("%(format)s is not a disk format this server can read.") % {"format": repr(fmt)[:40]}) from None


def _json(arguments: Sequence[str], fmt: str) -> dict[str, Any]:
    output = _run([_program(), *arguments], _QUICK, fmt=fmt)
    try:
        answer = json.loads(output)
    except ValueError:
        raise _unreadable(fmt) from None
    if not isinstance(answer, dict):
        raise _unreadable(fmt)
    return answer


# -- the child ------------------------------------------------------------------------------------------------------


def _run(
    argv: Sequence[str],
    limits: _Limits,
    *,
    fmt: str = "",
    on_output: Callable[[bytes], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> bytes:
    """Run to the end and return stdout. A crash is tried once more; then, as any failure, it is a domain error."""
    for attempt in (1, 2):
        code, out, err = _once(argv, limits, on_output, cancelled)
        if code == 0:
            return out
        if code in (-signal.SIGXCPU, -signal.SIGXFSZ):
            break
        if code > 0:
            raise _failure(argv, code, err, fmt)
        logger.warning("%s was killed by signal %d (attempt %d)", argv[1], -code, attempt)
    raise errors.UnsupportedFormat(_("The file could not be processed: reading it crashed or overran the limits set for it."))


def _once(
    argv: Sequence[str],
    limits: _Limits,
    on_output: Callable[[bytes], None] | None,
    cancelled: Callable[[], bool] | None,
) -> tuple[int, bytes, bytes]:
    child = subprocess.Popen(
        [*_wrapper(limits), *argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd="/",
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
        start_new_session=True,  # a group of its own, to be killed as one; and Ctrl-C is for us to handle
    )
    try:
        os.setpriority(os.PRIO_PROCESS, child.pid, 10)
        out, err = _listen(child, limits.wall, on_output, cancelled)
        return child.returncode, out, err
    finally:
        # Reached with the child alive when something above raised: the clock, `cancelled`, or a callback.
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        for pipe in (child.stdout, child.stderr):
            if pipe:
                pipe.close()


def _listen(
    child: "subprocess.Popen[bytes]",
    wall: float,
    on_output: Callable[[bytes], None] | None,
    cancelled: Callable[[], bool] | None,
) -> tuple[bytes, bytes]:
    """Collect what the child writes until it has ended."""
    deadline = time.monotonic() + wall
    kept = {"out": bytearray(), "err": bytearray()}
    with selectors.DefaultSelector() as selector:
        for pipe, name in ((child.stdout, "out"), (child.stderr, "err")):
            if pipe:
                selector.register(pipe, selectors.EVENT_READ, name)
        while selector.get_map() or child.poll() is None:
            if not selector.get_map():
                time.sleep(POLL / 10)  # it closed both pipes and lives on
            for key, _mask in selector.select(POLL) if selector.get_map() else ():
                data = os.read(key.fd, 65536)
                if not data:
                    selector.unregister(key.fileobj)
                elif key.data == "out" and on_output:
                    on_output(data)
                else:
                    kept[key.data] += data[: OUTPUT - len(kept[key.data])]
            if cancelled and cancelled():
                raise Cancelled
            if time.monotonic() > deadline:
                raise errors.UnsupportedFormat(_("The file could not be processed in the time allowed for it."))
    return bytes(kept["out"]), bytes(kept["err"])


def _wrapper(limits: _Limits) -> list[str]:
    """The command that sets limits and death signal, then becomes the program (measured: 2 ms; in Python 20 ms)."""
    prlimit, setpriv = shutil.which("prlimit"), shutil.which("setpriv")
    if prlimit and setpriv:
        bounds = [f"--as={MEMORY}", f"--cpu={limits.cpu}", f"--fsize={limits.fsize}", "--core=0"]
        return [prlimit, *bounds, setpriv, "--pdeathsig", "KILL"]
    numbers = [str(n) for n in (os.getpid(), MEMORY, limits.cpu, limits.fsize)]
    return [sys.executable, "-I", "-S", "-c", TRAMPOLINE, *numbers]


def _failure(argv: Sequence[str], code: int, err: bytes, fmt: str) -> errors.Error:
    """The domain error for what qemu-img wrote before it gave up; the log keeps the words, the answer has no paths."""
    said = err.decode("utf-8", "replace")
    logger.warning("qemu-img %s ended with %d: %r", argv[1], code, said[-500:])
    if "No space left on device" in said or "Disk quota exceeded" in said:
        return errors.StorageFull(_("There is not enough free space on this server to convert the image."))
    if "File too large" in said:
        return errors.TooLarge(_("The converted image would be larger than its virtual size allows."))
    if argv[1] == "convert" and "while reading" in said:
        return errors.UnsupportedFormat(_("The image is damaged: a part of it cannot be read."))
    return _unreadable(fmt)


def _unreadable(fmt: str) -> errors.UnsupportedFormat:
    return errors.UnsupportedFormat(_("The file cannot be read as %(format)s.") % {"format": fmt or "?"})

"""Writing and copying files so that runs of zeros stay holes."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from django.utils.translation import gettext as _

from dashboard.core import errors

BLOCK = 64 * 1024
_ZEROS = bytes(BLOCK)
RESERVE = 64 * 2**20  # bytes of a disk left free, or an eighth of a small one: database and logs mostly lie on the same
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextlib.contextmanager
def full_is_refused(directory: Path, needed: int = 0) -> Iterator[None]:
    """Turn "no space left" into errors.StorageFull."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        message = _("There is not enough space: the disk of the store is full.")
        raise errors.StorageFull(message, needed=needed, free=free_space(directory)) from error


def free_space(directory: Path) -> int:
    """Bytes of images that the disk of `directory` may still take."""
    return _room(os.statvfs(directory))


def _room(disk: os.statvfs_result) -> int:
    """What an ordinary user may write, less the reserve: a full disk would stop everybody, and even the tidying up."""
    return max(0, disk.f_bavail * disk.f_frsize - min(RESERVE, disk.f_blocks * disk.f_frsize // 8))


def pwrite(fd: int, data: bytes, offset: int) -> None:
    """Write all of `data` at `offset`, leaving out blocks of zeros; only for a part of the file that holds nothing yet.

    The file may end short of a trailing run of zeros: `ftruncate` it to its size at last.
    """
    start = position = 0
    size = len(data)
    while position < size:
        # Cut at absolute multiples, so that the holes are whole file system blocks.
        end = min(size, position + BLOCK - (offset + position) % BLOCK)
        # startswith is a memcmp without a copy; it stops at the first byte that differs.
        if data.startswith(_ZEROS if end - position == BLOCK else _ZEROS[: end - position], position, end):
            if start < position:
                _all(fd, memoryview(data)[start:position], offset + start)
            start = end
        position = end
    if start < size:
        _all(fd, memoryview(data)[start:] if start else data, offset + start)


def pread(fd: int, offset: int, length: int, size: int) -> bytes:
    """Read from a file that `pwrite` made `size` bytes long, even where the trailing zeros are not there yet."""
    wanted = max(0, min(length, size - offset))
    return os.pread(fd, wanted, offset).ljust(wanted, b"\0")


def _all(fd: int, data: bytes | memoryview, offset: int) -> None:
    if len(data) > _room(os.fstatvfs(fd)):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    while data:
        written = os.pwrite(fd, data, offset)
        if written == len(data):
            return
        data, offset = memoryview(data)[written:], offset + written


def extents(fd: int, size: int) -> Iterator[tuple[int, int, bool]]:
    """(offset, length, is data) over the whole file, holes included. Systems that know no holes give one extent."""
    position = 0
    while position < size:
        try:
            data = min(size, os.lseek(fd, position, os.SEEK_DATA))
        except OSError as error:
            data = size if error.errno == errno.ENXIO else position  # ENXIO: nothing but a hole follows
        if data > position:
            yield position, data - position, False
        if data >= size:
            return
        try:
            end = min(size, os.lseek(fd, data, os.SEEK_HOLE))
        except OSError:
            end = size
        yield data, end - data, True
        position = end


def copy(source: int, target: int) -> int:
    """Copy an open file into an open empty one, holes and all; returns its size."""
    size = os.fstat(source).st_size
    for offset, length, is_data in extents(source, size):
        position, end = offset, offset + length
        while is_data and position < end:
            block = os.pread(source, min(2**20, end - position), position)
            if not block:
                raise OSError(errno.EIO, "the file became shorter while it was copied")
            pwrite(target, block, position)
            position += len(block)
    os.ftruncate(target, size)
    return size


def fsync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

"""Staging: files on their way in, named by the upload's or the image's id. The size of the file is the offset, nothing else.

Everything here blocks (removing a large file takes a while): call it from a thread, never on the event loop.
"""

import contextlib
import fcntl
import os
from pathlib import Path
from uuid import UUID

from django.conf import settings

from images.stores import sparse
from images.uploads.locks import Locked

_APPEND = os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC


def directory() -> Path:
    """The staging directory, made when it is not there."""
    root = Path(settings.STAGING)
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    return root


def path(owner: UUID | str) -> Path:
    """The file of an upload or image, by its id."""
    return directory() / str(UUID(str(owner)))


def size(owner: UUID | str) -> int:
    """How many bytes are there; 0 when there is no file. Bytes whose checksum is still to be verified are not."""
    try:
        found = path(owner).stat().st_size
    except FileNotFoundError:
        return 0
    verified = _verified(path(owner))
    return found if verified is None else min(found, verified)


def settled(owner: UUID | str) -> int:
    """As `size`, once it is durable; what a crash left unverified is thrown away. For the holder of the upload only."""
    if not path(owner).exists():
        return 0
    with contextlib.closing(Appender(owner)) as file:
        file.sync()
        return file.size


def remove(owner: UUID | str) -> None:
    """Drop the file, and the ones made beside it (its name with a suffix)."""
    file = path(owner)
    for found in [file, *file.parent.glob(f"{file.name}.*")]:
        found.unlink(missing_ok=True)


def free() -> int:
    """Bytes free on the disk of staging."""
    return sparse.free_space(directory())


def _mark(file: Path) -> Path:
    return file.with_name(f"{file.name}.verified")


def _verified(file: Path) -> int | None:
    """Up to where the file is verified, while an unverified chunk is being appended; None when all of it is."""
    try:
        return int(_mark(file).read_text() or 0)
    except FileNotFoundError:
        return None


class Appender:
    """A staging file open for appending, by one process at a time (Locked). Also a source for the inspector (size, path, pread)."""

    def __init__(self, owner: UUID | str) -> None:
        self.path: Path | None = path(owner)
        self._mark, self._tentative = _mark(path(owner)), False
        with sparse.full_is_refused(directory()):
            self._fd = os.open(path(owner), _APPEND, 0o600)
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self.size = os.fstat(self._fd).st_size
                if not self.size:
                    sparse.fsync_directory(directory())
                if (verified := _verified(path(owner))) is not None:
                    self._tentative = True
                    self.truncate(min(self.size, verified))
                    self.sync()
            except BlockingIOError:
                os.close(self._fd)
                raise Locked from None
            except BaseException:
                os.close(self._fd)
                raise

    def fileno(self) -> int:
        return self._fd

    def append(self, data: bytes) -> None:
        """Write at the end; runs of zeros stay holes."""
        with sparse.full_is_refused(directory(), len(data)):
            sparse.pwrite(self._fd, data, self.size)
        self.size += len(data)

    def sync(self) -> None:
        """Make what was appended durable: from here on `size` may be told to the outside."""
        with sparse.full_is_refused(directory()):
            os.ftruncate(self._fd, self.size)  # a trailing run of zeros was left out
            os.fdatasync(self._fd)
        if self._tentative:
            self._mark.unlink(missing_ok=True)
            self._tentative = False

    def tentative(self) -> None:
        """What is appended from here on does not count before `sync`: its checksum is still to be verified."""
        with sparse.full_is_refused(directory()):
            new = self._mark.with_suffix(".new")
            new.write_text(str(self.size))
            new.rename(self._mark)
            sparse.fsync_directory(directory())
        self._tentative = True

    def truncate(self, size: int) -> None:
        """Throw away what was appended beyond `size`."""
        os.ftruncate(self._fd, size)
        self.size = size

    def pread(self, offset: int, length: int) -> bytes:
        return sparse.pread(self._fd, offset, length, self.size)

    def close(self) -> None:
        os.close(self._fd)

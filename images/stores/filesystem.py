"""Blobs as files: `root/<first two of the key>/<key>/data`, one directory per blob, so that no name beside it can be reached from it."""

import contextlib
import errno
import os
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from images.stores import sparse
from images.stores.base import CHUNK, check_key, missing

_FLUSH = 64 * 2**20
_NO_LINK = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP}  # another disk, or a file system without hard links
_NEW = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_RDWR | os.O_CLOEXEC


class FileWriter:
    """Writes to a temporary name; `commit` is fsync, rename, fsync of the directories."""

    def __init__(self, root: Path, directory: Path) -> None:
        self._root, self._directory = root, directory
        self._part = directory / "part"
        self._fd: int | None = None
        self._flushed = 0
        self.size = 0
        with sparse.full_is_refused(root):
            directory.parent.mkdir(mode=0o700, exist_ok=True)
            directory.mkdir(mode=0o700)
            self._fd = os.open(self._part, _NEW, 0o600)
        self._at: Path | None = self._part

    @property
    def path(self) -> Path | None:
        """The file so far, at its full size even when it ends in a hole."""
        if self._fd is not None:
            os.ftruncate(self._fd, self.size)
        return self._at

    def write(self, data: bytes) -> None:
        fd = self._open()
        with sparse.full_is_refused(self._root, len(data)):
            sparse.pwrite(fd, data, self.size)
        self.size += len(data)
        if self.size - self._flushed >= _FLUSH:
            # Starts writing back what is dirty and does not wait for it: the fsync of commit finds little left to do.
            os.posix_fadvise(fd, self._flushed, self.size - self._flushed, os.POSIX_FADV_DONTNEED)
            self._flushed = self.size

    def pread(self, offset: int, length: int) -> bytes:
        return sparse.pread(self._open(), offset, length, self.size)

    def commit(self) -> None:
        fd = self._open()
        with sparse.full_is_refused(self._root):
            os.ftruncate(fd, self.size)
            os.fsync(fd)
            os.close(fd)
            self._fd = None
            target = self._directory / "data"
            self._part.rename(target)
            _make_durable(self._root, self._directory)
        self._at = target

    def abort(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        if self._at == self._part:
            _remove(self._directory, "part")
            self._at = None

    def _open(self) -> int:
        if self._fd is None:
            raise ValueError("this writer is closed")
        return self._fd


class FileSystemStore:
    """A directory on this machine (or a shared one)."""

    capabilities = frozenset({"adopt", "local"})

    def __init__(self, root: str) -> None:
        self.root = Path(root)
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def open_writer(self, key: str) -> FileWriter:
        return FileWriter(self.root, self._directory(key))

    def adopt(self, path: Path, key: str) -> None:
        directory = self._directory(key)
        with sparse.full_is_refused(self.root, path.stat().st_size):
            directory.parent.mkdir(mode=0o700, exist_ok=True)
            directory.mkdir(mode=0o700)
            try:
                self._move(path, directory)
            except BaseException:
                _remove(directory, "part", "data")
                raise
            _make_durable(self.root, directory)

    def read(self, key: str, *, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        try:
            file = open(self.path(key), "rb", buffering=0, opener=_no_links)  # noqa: SIM115 (_read closes it)
        except FileNotFoundError:
            raise missing(key) from None
        return _read(file, offset, length)

    def size(self, key: str) -> int:
        try:
            return self.path(key).stat().st_size
        except FileNotFoundError:
            raise missing(key) from None

    def path(self, key: str) -> Path:
        return self._directory(key) / "data"

    def delete(self, key: str) -> None:
        directory = self._directory(key)
        if directory.exists():
            _remove(directory, "part", "data")
            with contextlib.suppress(FileNotFoundError):
                sparse.fsync_directory(directory.parent)

    def inventory(self) -> Iterator[tuple[str, float]]:
        for shelf in sorted(self.root.iterdir()):
            if len(shelf.name) == 2 and shelf.is_dir():
                for directory in sorted(shelf.iterdir()):
                    with contextlib.suppress(FileNotFoundError):
                        yield directory.name, directory.stat().st_mtime

    def usage(self) -> tuple[int, int]:
        disk = os.statvfs(self.root)
        return (disk.f_blocks - disk.f_bfree) * disk.f_frsize, sparse.free_space(self.root)

    def _directory(self, key: str) -> Path:
        return self.root / check_key(key)[:2] / key

    def _move(self, path: Path, directory: Path) -> None:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.fsync(fd)
            try:
                # A second name, not a new one: until the image is active, a crash must not cost the bytes that were sent.
                os.link(path, directory / "data")
            except OSError as error:
                if error.errno not in _NO_LINK:
                    raise
                _copy_across(fd, directory)
        finally:
            os.close(fd)


def _copy_across(source: int, directory: Path) -> None:
    target = os.open(directory / "part", _NEW, 0o600)
    try:
        sparse.copy(source, target)
        os.fsync(target)
    finally:
        os.close(target)
    (directory / "part").rename(directory / "data")


def _no_links(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW)


def _read(file: FileIO, offset: int, length: int | None) -> Iterator[bytes]:
    with file:
        fd = file.fileno()
        end = os.fstat(fd).st_size
        if length is not None:
            end = min(end, offset + length)
        while offset < end:
            block = os.pread(fd, min(CHUNK, end - offset), offset)
            if not block:
                raise OSError(errno.EIO, "the blob is shorter than it was")
            yield block
            offset += len(block)


def _make_durable(root: Path, directory: Path) -> None:
    for path in (directory, directory.parent, root):
        sparse.fsync_directory(path)


def _remove(directory: Path, *names: str) -> None:
    for name in names:
        (directory / name).unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        directory.rmdir()

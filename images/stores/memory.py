"""Blobs in a dictionary: for tests, and for reading first."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

from dashboard.core import errors
from images.stores.base import CHUNK, check_key, missing


class MemoryWriter:
    def __init__(self, store: "MemoryStore", key: str) -> None:
        self._store, self._key = store, key
        self._data = bytearray()
        self._open = True
        self.path: Path | None = None

    @property
    def size(self) -> int:
        return len(self._data)

    def write(self, data: bytes) -> None:
        self._check()
        self._store.reserve(len(self._data) + len(data))
        self._data += data

    def pread(self, offset: int, length: int) -> bytes:
        return bytes(self._data[offset : offset + length])

    def commit(self) -> None:
        self._check()
        self._open = False
        self._store.put(self._key, bytes(self._data))

    def abort(self) -> None:
        if self._open:
            self._open = False
            self._store.delete(self._key)

    def _check(self) -> None:
        if not self._open:
            raise ValueError("this writer is closed")


class MemoryStore:
    """Gone with the process. `capacity` bounds it, in bytes."""

    capabilities: frozenset[str] = frozenset()

    def __init__(self, capacity: int = 2**30) -> None:
        self.capacity = capacity
        self._blobs: dict[str, bytes | None] = {}  # None: being written
        self._times: dict[str, float] = {}
        self._lock = threading.Lock()

    def open_writer(self, key: str) -> MemoryWriter:
        with self._lock:
            if check_key(key) in self._blobs:
                raise FileExistsError(key)
            self._blobs[key], self._times[key] = None, time.time()
        return MemoryWriter(self, key)

    def adopt(self, path: Path, key: str) -> None:
        writer = self.open_writer(key)
        try:
            with path.open("rb") as file:
                while block := file.read(CHUNK):
                    writer.write(block)
        except BaseException:
            writer.abort()
            raise
        writer.commit()

    def read(self, key: str, *, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        data = self._get(key)
        end = len(data) if length is None else min(len(data), offset + length)
        return (data[start : min(end, start + CHUNK)] for start in range(offset, end, CHUNK))

    def size(self, key: str) -> int:
        return len(self._get(key))

    def path(self, key: str) -> Path | None:
        return None

    def delete(self, key: str) -> None:
        with self._lock:
            self._blobs.pop(check_key(key), None)

    def inventory(self) -> Iterator[tuple[str, float]]:
        return iter([(key, self._times[key]) for key in list(self._blobs)])

    def usage(self) -> tuple[int, int]:
        used = sum(len(data) for data in self._blobs.values() if data)
        return used, self.capacity - used

    def reserve(self, size: int) -> None:
        """Refuse a blob of `size` that does not fit beside the others."""
        free = self.usage()[1]
        if size > free:
            raise errors.StorageFull(needed=size, free=free)

    def put(self, key: str, data: bytes) -> None:
        with self._lock:
            self._blobs[key], self._times[key] = data, time.time()

    def _get(self, key: str) -> bytes:
        data = self._blobs.get(check_key(key))
        if data is None:
            raise missing(key)
        return data

"""Several consumers of one stream of bytes, each in a thread of its own: hashing releases the interpreter, so two hashes use two cores."""

import hashlib
import queue
import threading
from collections.abc import Callable, Sequence

Pieces = Sequence[bytes]


class Batch:
    """Some pieces of the stream, and who still has to look at them."""

    __slots__ = ("_lock", "_waiting", "done", "pieces", "size")

    def __init__(self, pieces: Pieces, size: int, lanes: int, done: Callable[["Batch"], None]) -> None:
        self.pieces, self.size, self.done = pieces, size, done
        self._waiting, self._lock = lanes, threading.Lock()

    def finish_one(self) -> None:
        with self._lock:
            self._waiting -= 1
            last = not self._waiting
        if last:
            self.pieces = ()
            self.done(self)


class Lanes:
    """Hands every batch to each consumer, in order. The first exception of any consumer is kept and ends the work of all.

    It does not bound what waits: the caller does, by counting what `done` has not given back yet.
    """

    def __init__(self, consumers: dict[str, Callable[[bytes], object]]) -> None:
        self.error: BaseException | None = None
        self._queues: list[queue.SimpleQueue[Batch | None]] = [queue.SimpleQueue() for _ in consumers]
        self._threads = [
            threading.Thread(target=self._run, args=(consume, waiting), name=f"lane-{name}", daemon=True)
            for (name, consume), waiting in zip(consumers.items(), self._queues, strict=True)
        ]
        for thread in self._threads:
            thread.start()

    def put(self, pieces: Pieces, size: int, done: Callable[[Batch], None]) -> None:
        batch = Batch(pieces, size, len(self._queues), done)
        for waiting in self._queues:
            waiting.put(batch)

    def close(self) -> None:
        """Wait until everything was consumed; then raise what a consumer raised."""
        for waiting in self._queues:
            waiting.put(None)
        for thread in self._threads:
            thread.join()
        if self.error is not None:
            raise self.error

    def stop(self) -> None:
        """Consume nothing more and wait for the threads."""
        if self.error is None:
            self.error = InterruptedError("stopped")
        for waiting in self._queues:
            waiting.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self, consume: Callable[[bytes], object], waiting: "queue.SimpleQueue[Batch | None]") -> None:
        while (batch := waiting.get()) is not None:
            if self.error is None:
                try:
                    for piece in batch.pieces:
                        consume(piece)
                except BaseException as error:
                    self.error = self.error or error
            batch.finish_one()


class Digests:
    """md5 (Glance's `checksum`), sha512 (ours, to find twins) and the configured algorithm of `os_hash_value`."""

    def __init__(self, algorithm: str) -> None:
        self.algorithm = algorithm
        self._hashes = {name: hashlib.new(name, usedforsecurity=False) for name in dict.fromkeys(["md5", "sha512", algorithm])}

    def consumers(self) -> dict[str, Callable[[bytes], object]]:
        return {name: digest.update for name, digest in self._hashes.items()}

    def __getitem__(self, algorithm: str) -> str:
        return self._hashes[algorithm].hexdigest()

    @property
    def checksum(self) -> str:
        return self["md5"]

    @property
    def os_hash_value(self) -> str:
        return self[self.algorithm]

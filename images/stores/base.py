"""What a store is: two Protocols and their contract in words. `tests/contracts/test_stores.py` holds every driver to it.

- A key is chosen by us (hex digits), never by a caller; its content never changes once committed, and is never visible before.
- `commit` returns when the bytes survive a power cut. After a failed `write` or `commit` only `abort` may follow.
- Runs of zeros cost no space where the store can leave holes, and read back as zeros.
- A full store raises errors.StorageFull; an unknown key raises errors.NotFound.
- Everything here blocks: call it from a thread, never on the event loop.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from django.utils.translation import gettext as _

from dashboard.core import errors

CHUNK = 2**20
_KEY = re.compile(r"[0-9a-z]{4,64}")


class Writer(Protocol):
    """Bytes on their way into a store. Also readable while it grows, so that it can be inspected before it is committed."""

    @property
    def size(self) -> int:
        """Bytes written so far."""

    @property
    def path(self) -> Path | None:
        """The file they are in, if the store is "local"."""

    def write(self, data: bytes) -> None:
        """Append."""

    def pread(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes of what was written so far."""

    def commit(self) -> None:
        """Make the bytes durable and visible under the key."""

    def abort(self) -> None:
        """Leave nothing behind. Harmless after `commit` or a second time."""


class Store(Protocol):
    """Where image bytes live.

    `capabilities`: "local" (`path` names a file qemu can open), "adopt" (`adopt` of a file on the same disk costs nothing).
    """

    capabilities: frozenset[str]

    def open_writer(self, key: str) -> Writer:
        """Begin a new blob; FileExistsError when the key is taken."""

    def adopt(self, path: Path, key: str) -> None:
        """Make the file at `path` the blob, durable. From here on nobody writes to the file; its old name is the caller's to remove."""

    def read(self, key: str, *, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The bytes from `offset`, in pieces of at most 1 MiB; to the end when `length` is None."""

    def size(self, key: str) -> int:
        """Size in bytes."""

    def path(self, key: str) -> Path | None:
        """The file, for stores that are "local"."""

    def delete(self, key: str) -> None:
        """Remove blob and unfinished writer of this key; nothing happens when there is none."""

    def inventory(self) -> Iterator[tuple[str, float]]:
        """Every key that takes space, committed or not, with the time it was last touched (seconds since 1970)."""

    def usage(self) -> tuple[int, int]:
        """(bytes used, bytes free)."""


def check_key(key: str) -> str:
    """The key itself; ValueError for anything we cannot have made."""
    if not _KEY.fullmatch(key):
        raise ValueError(f"not a blob key: {key!r}")
    return key


def missing(key: str) -> errors.NotFound:
    """The error for a key the store does not hold."""
    return errors.NotFound(_("The data is not in the store."), key=key)

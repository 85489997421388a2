"""The bytes under inspection, and what was found out about them."""

import struct
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from dashboard.core import errors
from dashboard.core.units import filesize

TABLE_BUDGET = 64 * 2**20  # bytes of tables looked at per image; what lies beyond is left to qemu-img


class NotYet(Exception):
    """The bytes asked for have not arrived; what was checked so far is fine."""


@dataclass(slots=True)
class Facts:
    """What the checks found, for the verdict."""

    virtual_size: int | None = None
    subformat: str = ""
    version: str = ""
    notes: list[str] = field(default_factory=list)

    def set_virtual_size(self, size: int) -> None:
        """Keep the size of the disk inside, after comparing it with what this server allows."""
        if size > settings.IMAGE_SIZE_CAP:
            raise too_large(size)
        if size <= 0:
            raise refuse(_("The disk inside the file has a size of zero. Create the image again."))
        self.virtual_size = size


class View:
    """Exact reads of a file of which, perhaps, only the beginning is there.

    `size` is None while unknown. `available` is how many bytes can be read; beyond them a read raises NotYet, and beyond
    the end of the file it is a refusal.
    """

    def __init__(self, pread: Callable[[int, int], bytes], *, size: int | None, available: int | None = None) -> None:
        self.pread = pread
        self.size = size
        self.available = available if available is not None else (size or 0)
        self.spent = 0

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`."""
        if self.size is not None and (offset < 0 or offset + length > self.size):
            raise truncated()
        if offset + length > self.available:
            raise NotYet
        data = bytes(self.pread(offset, length))
        if len(data) != length:
            raise truncated()
        return data

    def unpack(self, layout: str, offset: int) -> tuple[Any, ...]:
        return struct.unpack(layout, self.read(offset, struct.calcsize(layout)))

    def tail(self, length: int) -> bytes:
        """The last bytes of the file; NotYet while the end is unknown or not there."""
        if self.size is None:
            raise NotYet
        return self.read(max(self.size - length, 0), min(length, self.size))

    def table(self, offset: int, length: int) -> bytes | None:
        """Like `read`, out of the budget for tables; None once that is used up."""
        if self.spent + length > TABLE_BUDGET:
            return None
        data = self.read(offset, length)
        self.spent += length
        return data

    def within(self, offset: int, length: int = 1) -> bool:
        """Whether those bytes can belong to the file; true while its size is unknown."""
        return offset >= 0 and (self.size is None or offset + length <= self.size)

    def part(self, offset: int, length: int) -> "View":
        """A view of a file inside this one."""
        if not self.within(offset, length):
            raise truncated()
        available = max(0, min(self.available - offset, length))
        return View(lambda at, n: self.pread(offset + at, n), size=length, available=available)


def numbers(data: bytes, code: str, *, big: bool = False) -> "array[int]":
    """A table of unsigned integers (code I or Q) as an array: maximum and membership then run in C."""
    values: array[int] = array(code)
    values.frombytes(data)
    if big != (struct.pack("=H", 1) == struct.pack(">H", 1)):
        values.byteswap()
    return values


def power_of_two(number: int) -> bool:
    return number > 0 and number & (number - 1) == 0


def refuse(text: str) -> errors.UnsupportedFormat:
    return errors.UnsupportedFormat(text)


def truncated() -> errors.UnsupportedFormat:
    return refuse(_("The file ends too early: parts of the image are missing. Send the complete file again."))


def damaged(what: str) -> errors.UnsupportedFormat:
    """A refusal of a file whose own structures contradict it; `what` is a phrase such as "its block table"."""
    return refuse(_("The image is damaged or was tampered with: %(what)s. Create it again with qemu-img convert.") % {"what": what})


def too_large(size: int) -> errors.TooLarge:
    return errors.TooLarge(
        _("The disk is larger than this server allows (%(size)s; at most %(limit)s).")
        % {"size": filesize(size), "limit": filesize(settings.IMAGE_SIZE_CAP)}
    )

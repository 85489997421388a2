"""The words of tus 1.0: read and checked, no I/O. https://tus.io/protocols/resumable-upload"""

import base64
import binascii
import hashlib
import re
import zlib
from typing import Protocol

from django.utils.translation import gettext as _

from dashboard.core import errors

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,termination,expiration,checksum"
ALGORITHMS = ("sha1", "md5", "sha256", "sha512", "crc32")
CHUNK_TYPE = "application/offset+octet-stream"
_NUMBER = re.compile(r"[0-9]{1,19}")
_KEY = re.compile(r"[!-+\--~]+")  # printable ASCII without space and comma


class Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...


class _Crc32:
    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


def number(value: str | None, header: str) -> int:
    """A non-negative integer below 2^63, written in digits; BadRequest naming the header otherwise."""
    if value is None or not _NUMBER.fullmatch(value) or int(value) >= 2**63:
        raise errors.BadRequest(_("{header} must be a non-negative whole number."), header=header)
    return int(value)


def metadata(value: str | None) -> dict[str, str]:
    """Upload-Metadata decoded: pairs of a key and base64, separated by commas; a key may stand alone."""
    found: dict[str, str] = {}
    for pair in (value or "").split(",") if value else []:
        key, _space, encoded = pair.strip().partition(" ")
        if not _KEY.fullmatch(key) or key in found:
            raise errors.BadRequest(_("Upload-Metadata has a bad or repeated key."))
        try:
            found[key] = base64.b64decode(encoded.strip(), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise errors.BadRequest(_("Upload-Metadata: the value of {key} is not base64 of UTF-8 text."), key=key) from None
    return found


def checksum(value: str | None) -> tuple[Hash, bytes] | None:
    """Upload-Checksum as a hash to feed and the digest to meet; None when there is none."""
    if value is None:
        return None
    algorithm, _space, encoded = value.partition(" ")
    if algorithm not in ALGORITHMS:
        raise errors.BadRequest(_("Upload-Checksum: unknown algorithm; known are {known}."), known=", ".join(ALGORITHMS))
    hash_: Hash = _Crc32() if algorithm == "crc32" else hashlib.new(algorithm, usedforsecurity=False)
    try:
        digest = base64.b64decode(encoded.strip(), validate=True)
    except binascii.Error:
        digest = b""
    if len(digest) != len(hash_.digest()):
        raise errors.BadRequest(_("Upload-Checksum is malformed."))
    return hash_, digest

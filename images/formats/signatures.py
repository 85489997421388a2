"""Which formats the first bytes of a file announce. Several at once is a polyglot."""

import re

PICTURES = {
    b"\x89PNG\r\n\x1a\n": "PNG", b"\xff\xd8\xff": "JPEG", b"GIF87a": "GIF", b"GIF89a": "GIF", b"%PDF-": "PDF",
}  # fmt: skip
COMPRESSED = {b"\x1f\x8b\x08": "gzip", b"PK\x03\x04": "zip", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bzip2"}
PARALLELS = (b"WithoutFreeSpace", b"WithouFreSpacExt")
VDI_MAGIC = b"\x7f\x10\xda\xbe"
LEADING = {
    b"QFI\xfb": "qcow2", b"QED\x00": "qed", b"KDMV": "vmdk", b"COWD": "vmdk", b"conectix": "vhd", b"vhdxfile": "vhdx",
    b"LUKS\xba\xbe": "luks", PARALLELS[0]: "ploop", PARALLELS[1]: "ploop", b"Bochs Virtual HD Image": "bochs",
    b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop": "cloop",
}  # fmt: skip
ISO_AT = 0x8001
# qemu takes a text for a VMDK descriptor when nothing but comments and blank lines stand before "version=".
DESCRIPTOR = re.compile(rb"(?:#[^\n]*\n|[ \t]*\r?\n)*+version=\d", re.IGNORECASE)
TAR_AT = 257


def families(head: bytes) -> set[str]:
    """Every disk format whose mark the bytes carry; `gpt` stands for any partition table."""
    found = {name for magic, name in LEADING.items() if head.startswith(magic)}
    if head[0x40:0x44] == VDI_MAGIC:
        found.add("vdi")
    if head[ISO_AT : ISO_AT + 5] in (b"CD001", b"NSR02", b"NSR03"):
        found.add("iso")
    if _boot_sector(head) and not _fat(head):
        found.add("gpt")
    if "vmdk" not in found and descriptor(head):
        found.add("vmdk")
    return found


def descriptor(head: bytes) -> bool:
    """Whether the file is the text of a VMDK descriptor, which names other files."""
    text = head.split(b"\0", 1)[0]
    if not text:
        return False
    low = text.lower()
    return b"disk descriptorfile" in low or (b"createtype" in low and b"version" in low) or DESCRIPTOR.match(text) is not None


def _boot_sector(head: bytes) -> bool:
    return head[510:512] == b"\x55\xaa"


def _fat(head: bytes) -> bool:
    """A FAT file system's first sector carries the mark of a partition table without being one."""
    return head[0x10] == 2 and head[0x15] == 0xF8


def picture(head: bytes) -> str | None:
    """The name of a document format: no disk begins like that."""
    for magic, name in PICTURES.items():
        if head.startswith(magic):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    start = head[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "HTML"
    return "SVG" if b"<svg" in start and start.startswith((b"<svg", b"<?xml", b"<!doctype svg")) else None


def compressed(head: bytes) -> str | None:
    return next((name for magic, name in COMPRESSED.items() if head.startswith(magic)), None)


def tar(head: bytes) -> bool:
    return head[TAR_AT : TAR_AT + 5] == b"ustar"

"""Disk images made by hand: one function per family. Called without arguments it makes a sound image; each argument spoils one thing."""

import io
import struct
import tarfile
import uuid
from collections.abc import Sequence
from typing import Any

KIB, MIB = 2**10, 2**20
CLUSTER = 64 * KIB
SECRET = b"/etc/passwd"
ALL_ONES = 2**64 - 1


def qcow2(
    *,
    magic: bytes = b"QFI\xfb",
    version: int = 3,
    backing: tuple[int, int] = (0, 0),
    cluster_bits: int = 16,
    size: int = MIB,
    crypt: int = 0,
    l1: tuple[int, int] = (1, 3 * CLUSTER),
    refcount_table: tuple[int, int] = (CLUSTER, 1),
    snapshots: tuple[int, int] = (0, 0),
    incompatible: int = 0,
    autoclear: int = 0,
    refcount_order: int = 4,
    header_length: int = 104,
    compression: int = 0,
    extensions: Sequence[tuple[int, bytes] | tuple[int, bytes, int]] = (),
    refcounts: Sequence[int] = (1, 1, 1, 1, 1),
    l1_entries: Sequence[int] = (),
    l2_entries: Sequence[int] = (),
    patch: Sequence[tuple[int, bytes]] = (),
) -> bytes:
    """Four clusters: header, refcount table, refcount block, L1; a fifth with an L2 table when entries are given."""
    data = bytearray((5 if l2_entries else 4) * CLUSTER)
    struct.pack_into(">4sIQIIQIIQQIIQ", data, 0, magic, version, *backing, cluster_bits, size, crypt, *l1, *refcount_table, *snapshots)
    at = 72
    if version >= 3:
        struct.pack_into(">QQQII", data, 72, incompatible, 0, autoclear, refcount_order, header_length)
        data[104] = compression
        at = header_length if header_length < 4096 else 104
    for kind, payload, *length in extensions:
        struct.pack_into(">II", data, at, kind, length[0] if length else len(payload))
        data[at + 8 : at + 8 + len(payload)] = payload
        at += 8 + (len(payload) + 7) // 8 * 8
    if backing != (0, 0):
        data[1024 : 1024 + len(SECRET)] = SECRET
    struct.pack_into(">Q", data, CLUSTER, 2 * CLUSTER)
    struct.pack_into(f">{len(refcounts)}H", data, 2 * CLUSTER, *refcounts)
    entries = l1_entries or ([4 * CLUSTER | 1 << 63] if l2_entries else [])
    struct.pack_into(f">{len(entries)}Q", data, 3 * CLUSTER, *entries)
    struct.pack_into(f">{len(l2_entries)}Q", data, 4 * CLUSTER, *l2_entries)
    for offset, piece in patch:
        data[offset : offset + len(piece)] = piece
    return bytes(data)


DESCRIPTOR = """# Disk DescriptorFile
version=1
CID=fffffffe
parentCID=ffffffff
createType="monolithicSparse"

# Extent description
RW 2048 SPARSE "disk.vmdk"

# The Disk Data Base
#DDB

ddb.virtualHWVersion = "4"
ddb.geometry.cylinders = "2"
ddb.adapterType = "ide"
"""


def vmdk(
    *,
    text: str = DESCRIPTOR,
    magic: bytes = b"KDMV",
    version: int = 1,
    capacity: int = 2048,
    grain: int = 128,
    descriptor: tuple[int, int] = (1, 20),
    per_table: int = 512,
    directory: int = 21,
    compression: int = 0,
    tables: Sequence[int] = (22,),
    grains: Sequence[int] = (),
    footer: dict[str, Any] | None = None,
    raw_text: bytes | None = None,
) -> bytes:
    """Header, 20 sectors of text, grain directory at sector 21, one grain table at 22; data up to sector 256."""

    def header(directory: int, **changes: Any) -> bytes:
        values = {"magic": magic, "version": version, "capacity": capacity, "grain": grain, **changes}
        packed = struct.pack(
            "<4sIIQQQQIQQQ", values["magic"], values["version"], 1, values["capacity"], values["grain"],
            *descriptor, per_table, 0, directory, 128,
        )  # fmt: skip
        return (packed + b"\0\n \r\n" + struct.pack("<H", compression)).ljust(512, b"\0")

    data = bytearray(256 * 512)
    data[:512] = header(ALL_ONES if footer is not None else directory)
    encoded = raw_text if raw_text is not None else text.encode()
    data[512 : 512 + len(encoded)] = encoded
    struct.pack_into(f"<{len(tables)}I", data, 21 * 512, *tables)
    struct.pack_into(f"<{len(grains)}I", data, 22 * 512, *grains)
    if footer is None:
        return bytes(data)
    changes = {"directory": directory, **footer}
    marker = struct.pack("<QII", 1, 0, changes.pop("marker", 3)).ljust(512, b"\0")
    return bytes(data) + marker + header(**changes) + bytes(512)


def changed(old: str, new: str) -> bytes:
    assert old in DESCRIPTOR
    return vmdk(text=DESCRIPTOR.replace(old, new))


def _sum(data: bytearray, at: int) -> None:
    struct.pack_into(">I", data, at, 0)
    struct.pack_into(">I", data, at, ~sum(data) & 0xFFFFFFFF)


def vhd(
    *,
    size: int = 31 * 4 * 17 * 512,
    geometry: tuple[int, int, int] = (31, 4, 17),
    creator: bytes = b"qemu",
    kind: int = 3,
    cookie: bytes = b"cxsparse",
    table: int = 1536,
    entries: int = 2,
    block: int = 2 * MIB,
    parent: bytes = b"",
    blocks: Sequence[int] = (2**32 - 1, 2**32 - 1),
    checksum: bool = True,
    tail: bytes | None = None,
    patch: Sequence[tuple[int, bytes]] = (),
) -> bytes:
    """Footer copy, dynamic header, table of two empty blocks, footer."""
    footer = bytearray(512)
    struct.pack_into(
        ">8sIIQI4sI4sQQHBBI", footer, 0, b"conectix", 2, 0x10000, 512, 0, creator, 0x50003, b"Wi2k", size, size, *geometry, kind
    )
    _sum(footer, 0x40)
    if not checksum:
        footer[0x43] ^= 1
    header = bytearray(1024)
    struct.pack_into(">8sQQIII", header, 0, cookie, ALL_ONES, table, 0x10000, entries, block)
    header[0x40 : 0x40 + len(parent)] = parent
    _sum(header, 0x24)
    bat = struct.pack(f">{len(blocks)}I", *blocks).ljust(512, b"\xff")
    data = bytearray(bytes(footer) + bytes(header) + bat + (bytes(footer) if tail is None else tail))
    for offset, piece in patch:
        data[offset : offset + len(piece)] = piece
    return bytes(data)


BAT, METADATA = "2DC27766-F623-4200-9D64-115E9BFD4A08", "8B7CA206-4790-4B9A-B8FE-575F050F886E"
PARAMETERS, DISK_SIZE = "CAA16737-FA36-4D43-B3B6-33F0AA44E76B", "2FA54224-CD1B-4876-B211-5DBED83BF4B8"
SECTOR_SIZE, LOCATOR = "8141BF1D-A96F-4709-BA47-F233A8FAAB5F", "A8D35F2D-B30B-454D-ABF7-D3D84834AB0C"


def guid(text: str) -> bytes:
    return uuid.UUID(text).bytes_le


def vhdx(
    *,
    signature: bytes = b"regi",
    heads: bytes = b"head",
    log: bytes = bytes(16),
    regions: Sequence[tuple[str, int, int]] = ((BAT, 3 * MIB, MIB), (METADATA, 2 * MIB, MIB)),
    region_count: int | None = None,
    size: int = 64 * MIB,
    block: int = 8 * MIB,
    flags: int = 0,
    sector: int = 512,
    leave_out: str = "",
    extra: str = "",
    item_count: int | None = None,
    blocks: Sequence[int] = (0,) * 8,
    length: int = 4 * MIB,
) -> bytes:
    """Headers, one region table, metadata at 2 MiB, block table at 3 MiB. The checksums of the real thing are left out."""
    data = bytearray(4 * MIB)
    data[:8] = b"vhdxfile"
    for at, sequence in ((64 * KIB, 1), (128 * KIB, 2)):
        struct.pack_into("<4sIQ16s16s16s", data, at, heads, 0, sequence, b"", b"", log)
    struct.pack_into("<4sII", data, 192 * KIB, signature, 0, len(regions) if region_count is None else region_count)
    for index, (kind, offset, span) in enumerate(regions):
        struct.pack_into("<16sQII", data, 192 * KIB + 16 + 32 * index, guid(kind), offset, span, 1)
    items = [(PARAMETERS, 64 * KIB, struct.pack("<II", block, flags)), (DISK_SIZE, 64 * KIB + 8, struct.pack("<Q", size)),
             (SECTOR_SIZE, 64 * KIB + 16, struct.pack("<I", sector))]  # fmt: skip
    if extra:
        items.append((extra, 64 * KIB + 64, b"x" * 32))
    items = [item for item in items if item[0] != leave_out]
    struct.pack_into("<8sHH", data, 2 * MIB, b"metadata", 0, len(items) if item_count is None else item_count)
    for index, (kind, offset, value) in enumerate(items):
        struct.pack_into("<16sII", data, 2 * MIB + 32 + 32 * index, guid(kind), offset, len(value))
        data[2 * MIB + offset : 2 * MIB + offset + len(value)] = value
    struct.pack_into(f"<{len(blocks)}Q", data, 3 * MIB, *blocks)
    return bytes(data[:length])


def vdi(
    *,
    magic: bytes = b"\x7f\x10\xda\xbe",
    version: int = 0x00010001,
    kind: int = 1,
    size: int = 4 * MIB,
    block: int = MIB,
    extra: int = 0,
    blocks: int = 4,
    allocated: int = 0,
    map_at: int = 512,
    data_at: int = 1024,
    parent: bytes = b"",
    entries: Sequence[int] = (2**32 - 1,) * 4,
) -> bytes:
    """Header, block map in the second sector, no data."""
    data = bytearray(1024)
    data[:40] = b"<<< QEMU VM Virtual Disk Image >>>\n".ljust(40, b"\0")
    data[0x40:0x44] = magic
    struct.pack_into("<III", data, 0x44, version, 0x190, kind)
    struct.pack_into("<II", data, 0x154, map_at, data_at)
    struct.pack_into("<QIIII", data, 0x170, size, block, extra, blocks, allocated)
    data[0x1A8 : 0x1A8 + len(parent)] = parent
    struct.pack_into(f"<{len(entries)}I", data, 512, *entries)
    return bytes(data)


def iso(*, blocks: int = 200, block: int = 2048, mark: bytes = b"CD001", length: int = 400 * KIB, boot: bytes = b"") -> bytes:
    """A system area and a primary volume descriptor."""
    data = bytearray(400 * KIB)
    data[: len(boot)] = boot
    struct.pack_into("<B5sB", data, 0x8000, 1, mark, 1)
    struct.pack_into("<I", data, 0x8000 + 80, blocks)
    struct.pack_into("<H", data, 0x8000 + 128, block)
    return bytes(data[:length])


def luks(
    *, version: int = 1, iterations: int = 1000, slot_iterations: int = 1000, data_at: int = 4096, slot_at: int = 8, length: int = 3 * MIB
) -> bytes:
    """A LUKS 1 header with one active key slot."""
    data = bytearray(3 * MIB)
    struct.pack_into(">6sH32s32s32sII", data, 0, b"LUKS\xba\xbe", version, b"aes", b"xts-plain64", b"sha256", data_at, 64)
    struct.pack_into(">I", data, 164, iterations)
    for slot in range(8):
        at = 208 + 48 * slot
        struct.pack_into(">II", data, at, 0xDEAD if slot else 0xAC71F3, slot_iterations)
        struct.pack_into(">II", data, at + 40, slot_at, 4000)
    return bytes(data[:length])


def parallels(
    *, version: int = 2, tracks: int = 2048, entries: int = 4, sectors: int = 8192, in_use: int = 0, blocks: Sequence[int] = ()
) -> bytes:
    data = bytearray(4096)
    struct.pack_into("<16sIIIIIQIII", data, 0, b"WithouFreSpacExt", version, 16, 4, tracks, entries, sectors, in_use, 8, 0)
    struct.pack_into(f"<{len(blocks)}I", data, 64, *blocks)
    return bytes(data)


def partitions(*entries: tuple[int, bytes, int, int], mark: bytes = b"\x55\xaa", length: int = MIB) -> bytes:
    """A disk with a partition table: (boot flag, start CHS, type, first sector) per entry."""
    data = bytearray(length)
    for index, (flag, chs, kind, first) in enumerate(entries):
        struct.pack_into("<B3sB3sII", data, 446 + 16 * index, flag, chs, kind, b"\xff\xff\xff", first, 2000)
    data[510:512] = mark
    return bytes(data)


MBR = (0x80, b"\x20\x21\x00", 0x83, 2048)
GPT = (0, b"\x00\x02\x00", 0xEE, 1)


def fat() -> bytes:
    data = bytearray(partitions())
    data[0x10], data[0x15] = 2, 0xF8
    return bytes(data)


OVF = b'<?xml version="1.0"?><Envelope><References><File href="disk.vmdk" id="f1"/></References></Envelope>'


def ova(*parts: tuple[str, bytes] | tarfile.TarInfo, form: int = tarfile.USTAR_FORMAT) -> bytes:
    """A tar of (name, content) pairs, or of headers made by hand."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for part in parts or (("box.ovf", OVF), ("disk.vmdk", vmdk())):
            if isinstance(part, tarfile.TarInfo):
                archive.addfile(part)
            else:
                entry = tarfile.TarInfo(part[0])
                entry.size = len(part[1])
                archive.addfile(entry, io.BytesIO(part[1]))
    return out.getvalue()


def odd(name: str, kind: bytes, target: str = "", pax: dict[str, str] | None = None) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname, entry.pax_headers = kind, target, pax or {}
    return entry


def huge_member() -> bytes:
    data = bytearray(ova(("box.ovf", OVF), ("disk.vmdk", b"")))
    at = 1024 + 124
    data[at : at + 12] = b"\x80" + (2**62).to_bytes(11, "big")
    header = data[1024:1536]
    header[148:156] = b" " * 8
    data[1024 + 148 : 1024 + 156] = b"%06o\0 " % sum(header)
    return bytes(data)


def over(base: bytes, at: int, piece: bytes) -> bytes:
    """A polyglot: one format's mark inside another's image."""
    return base[:at] + piece + base[at + len(piece) :]


FLAT = f'# Disk DescriptorFile\nversion=1\ncreateType="monolithicFlat"\nRW 2 FLAT "{SECRET.decode()}" 0\n'

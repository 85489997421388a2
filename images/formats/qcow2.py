"""QCOW2 (QEMU's docs/interop/qcow2.txt): header, header extensions, refcounts, L1 and L2 tables."""

import struct

from django.utils.translation import gettext as _

from images.formats.view import Facts, View, damaged, numbers, refuse

DIRTY, CORRUPT, DATA_FILE, COMPRESSION, EXTENDED_L2 = (1 << n for n in range(5))
RAW_EXTERNAL = 1 << 1
BACKING_FORMAT, EXTERNAL_NAME, LUKS_HEADER, BITMAPS = 0xE2792ACA, 0x44415441, 0x0537BE77, 0x23852875
OFFSET_MASK = 0x00FFFFFFFFFFFE00
L1_MAX = 32 * 2**20  # bytes, as in qemu
REFCOUNT_TABLE_MAX = 8 * 2**20
CHECKED_CLUSTERS = 4096  # whose reference counts are looked up


class Header:
    """The fields of the first 112 bytes."""

    def __init__(self, view: View) -> None:
        first = view.unpack(">4sIQIIQIIQQIIQ", 0)
        self.magic, self.version, self.backing_offset, self.backing_length = first[:4]
        self.cluster_bits, self.virtual_size, self.crypt = first[4:7]
        self.l1_size, self.l1_offset, self.refcount_offset, self.refcount_clusters = first[7:11]
        self.snapshots, self.snapshots_offset = first[11:]
        self.incompatible = self.compatible = self.autoclear = 0
        self.refcount_order, self.length, self.compression = 4, 72, 0
        if self.version == 3:
            self.incompatible, self.compatible, self.autoclear, self.refcount_order, self.length = view.unpack(">QQQII", 72)
            if self.length > 104:
                self.compression = view.read(104, 1)[0]

    @property
    def cluster(self) -> int:
        return 1 << int(self.cluster_bits)


def check(view: View, facts: Facts) -> None:
    """Accept a QCOW2 image that stands alone, is not encrypted and whose tables lie within the file."""
    header = Header(view)
    _check_kind(header)
    _check_geometry(header)
    facts.version = "1.1" if header.version == 3 else "0.10"
    if header.compression:
        facts.subformat = "zstd"
    _check_extensions(view, header)
    facts.set_virtual_size(header.virtual_size)
    _check_table_places(view, header)
    l2_tables = _check_l1(view, header)
    _check_refcounts(view, header, l2_tables)
    for offset in l2_tables:
        table = view.table(offset, header.cluster)
        if table is None:
            break
        _check_l2(view, header, table)


def _check_kind(header: Header) -> None:
    if header.version not in (2, 3):
        raise refuse(_("The file is a QCOW image of a version other than 2 or 3. Convert it with qemu-img convert -O qcow2."))
    if header.backing_offset or header.backing_length:
        raise refuse(
            _("The file is a QCOW2 image that refers to a backing file; images must stand alone. Flatten it with qemu-img convert.")
        )
    if header.incompatible & DATA_FILE or header.autoclear & RAW_EXTERNAL:
        raise refuse(_("The file is a QCOW2 image that keeps its data in another file; images must stand alone. Convert it with qemu-img."))
    if header.crypt:
        raise refuse(_("The QCOW2 image is encrypted, so it cannot be checked or started. Send it decrypted."))
    if header.incompatible & (DIRTY | CORRUPT):
        raise refuse(_("The QCOW2 image was not closed properly or is marked corrupt. Repair it with qemu-img check -r all."))
    if header.incompatible & ~COMPRESSION:
        raise refuse(_("The QCOW2 image uses features this server does not support. Convert it with qemu-img convert -O qcow2."))
    if header.snapshots or header.snapshots_offset:
        raise refuse(_("The QCOW2 image contains internal snapshots, that is a second, hidden disk. Flatten it with qemu-img convert."))


def _check_geometry(header: Header) -> None:
    if not 9 <= header.cluster_bits <= 21:
        raise damaged(_("its cluster size is out of range"))
    if header.refcount_order > 6:
        raise damaged(_("its reference count width is out of range"))
    if header.version == 3 and (header.length < 104 or header.length % 8 or header.length > header.cluster):
        raise damaged(_("its header length is out of range"))
    if bool(header.incompatible & COMPRESSION) != bool(header.compression) or header.compression > 1:
        raise damaged(_("its compression type is unknown"))


def _check_extensions(view: View, header: Header) -> None:
    data = view.read(0, header.cluster) if view.within(0, header.cluster) else view.read(0, view.size or 0)
    at = int(header.length)
    while at + 8 <= len(data):
        kind, length = struct.unpack_from(">II", data, at)
        if not kind:
            return
        if at + 8 + length > len(data):
            raise damaged(_("a header extension is longer than the header"))
        if kind == EXTERNAL_NAME:
            raise refuse(_("The QCOW2 image names an external data file; images must stand alone. Convert it with qemu-img."))
        if kind == LUKS_HEADER:
            raise refuse(_("The QCOW2 image is encrypted, so it cannot be checked or started. Send it decrypted."))
        if kind == BITMAPS:
            raise refuse(_("The QCOW2 image contains persistent bitmaps. Remove them by converting it with qemu-img convert."))
        at += 8 + (length + 7) // 8 * 8


def _check_table_places(view: View, header: Header) -> None:
    cluster = header.cluster
    needed = -(-header.virtual_size // (cluster * (cluster // 8)))
    if header.l1_size < needed or header.l1_size * 8 > L1_MAX:
        raise damaged(_("its first table does not fit the size of the disk"))
    if not header.refcount_clusters or header.refcount_clusters * cluster > REFCOUNT_TABLE_MAX:
        raise damaged(_("its reference count table has an impossible length"))
    for offset, length in ((header.l1_offset, header.l1_size * 8), (header.refcount_offset, header.refcount_clusters * cluster)):
        if offset % cluster or offset < cluster or not view.within(offset, length):
            raise damaged(_("a table lies outside the file or over the header"))


def _check_l1(view: View, header: Header) -> list[int]:
    """The places of the L2 tables, each aligned, in the file, and used once."""
    table = view.table(header.l1_offset, header.l1_size * 8)
    if table is None:
        return []
    places: dict[int, None] = {}
    for entry in numbers(table, "Q", big=True):
        if offset := entry & OFFSET_MASK:
            if offset % header.cluster or not view.within(offset, header.cluster):
                raise damaged(_("a table lies outside the file"))
            if offset in places:
                raise damaged(_("parts of its disk share one table"))
            places[offset] = None
    return list(places)


def _check_l2(view: View, header: Header, table: bytes) -> None:
    """Every cluster an L2 table names begins inside the file."""
    flags = table[0::8]
    if max(flags) & 0x40 or any(flag & 0x40 for flag in set(flags)):
        low = (1 << (62 - (header.cluster_bits - 8))) - 1
        for entry in set(numbers(table, "Q", big=True)):
            place = entry & low if entry >> 62 & 1 else entry & OFFSET_MASK
            if not view.within(place):
                raise damaged(_("a part of its disk lies beyond the end of the file"))
        return
    plain = bytearray(table)
    plain[0::8] = bytes(len(flags))
    top = max(numbers(bytes(plain), "Q", big=True)) & OFFSET_MASK
    if top and not view.within(top):
        raise damaged(_("a part of its disk lies beyond the end of the file"))


def _check_refcounts(view: View, header: Header, l2_tables: list[int]) -> None:
    """Header and tables are counted as in use; otherwise the first write would overwrite them."""
    cluster = header.cluster
    table = view.table(header.refcount_offset, header.refcount_clusters * cluster)
    if table is None:
        return
    blocks = numbers(table, "Q", big=True)
    per_block = cluster * 8 >> header.refcount_order
    places = [0, header.refcount_offset, *range(header.l1_offset, header.l1_offset + max(header.l1_size * 8, 1), cluster), *l2_tables]
    loaded: dict[int, bytes] = {}
    for place in places[:CHECKED_CLUSTERS]:
        number = place // cluster
        index, within_block = divmod(number, per_block)
        offset = blocks[index] & ~511 if index < len(blocks) else 0
        if not offset or offset % cluster:
            raise damaged(_("its reference counts are wrong"))
        if offset not in loaded:
            block = view.table(offset, cluster)
            if block is None:
                return
            loaded = {offset: block}  # one is enough: places mostly ascend
        if not _refcount(loaded[offset], within_block, header.refcount_order):
            raise damaged(_("its reference counts are wrong"))


def _refcount(block: bytes, index: int, order: int) -> int:
    bits = 1 << order
    if bits >= 8:
        size = bits // 8
        return int.from_bytes(block[index * size : (index + 1) * size], "big")
    return block[index * bits // 8] >> (index * bits % 8) & ((1 << bits) - 1)

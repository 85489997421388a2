/**
 * Which disk format a file is in, and how large a disk a guest would see: read from the file itself, before it is sent.
 *
 * A help for the person, not a check: the server judges for itself. Reads a bounded number of bytes (1 MiB and a few more
 * small pieces), follows no reference, allocates nothing a header asks for. Works on any Blob; knows no page.
 */

const MIB = 1024 * 1024;
const HEAD = MIB;
const TEXT = new TextDecoder("latin1");

/** Suffixes that name one format. `.img` and `.bin` name none. */
const SUFFIXES = {
  qcow2: "qcow2", qcow: "qcow2", vmdk: "vmdk", vdi: "vdi", vhdx: "vhdx", vhd: "vhd", vpc: "vhd", iso: "iso",
  raw: "raw", luks: "luks", gz: "gzip", xz: "xz", zst: "zstd", zip: "zip", bz2: "bzip2", "7z": "7z", ova: "tar", tar: "tar",
};

const VHDX_METADATA = "06a27c8b90479a4bb8fe575f050f886e"; // 8B7CA206-4790-4B9A-B8FE-575F050F886E in the byte order of the file
const VHDX_DISK_SIZE = "2442a52f1bcd7648b2115dbed83bf4b8"; // 2FA54224-CD1B-4876-B211-5DBED83BF4B8

class Bytes {
  constructor(buffer) {
    this.array = new Uint8Array(buffer);
    this.view = new DataView(buffer);
    this.length = buffer.byteLength;
  }

  has(offset, count) {
    return offset >= 0 && offset + count <= this.length;
  }

  text(offset, count) {
    return this.has(offset, count) ? TEXT.decode(this.array.subarray(offset, offset + count)) : "";
  }

  hex(offset, count) {
    if (!this.has(offset, count)) return "";
    return Array.from(this.array.subarray(offset, offset + count), (byte) => byte.toString(16).padStart(2, "0")).join("");
  }

  u16(offset, little = false) {
    return this.has(offset, 2) ? this.view.getUint16(offset, little) : 0;
  }

  u32(offset, little = false) {
    return this.has(offset, 4) ? this.view.getUint32(offset, little) : 0;
  }

  /** A number as large as JavaScript counts exactly; null when absent or larger. */
  u64(offset, little = false) {
    if (!this.has(offset, 8)) return null;
    const value = this.view.getBigUint64(offset, little);
    return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : null;
  }
}

const found = (format, virtualSize, more = {}) => ({ format, virtualSize, ...more });

function qcow2(head) {
  if (head.text(0, 4) !== "QFI\u00fb") return null;
  const version = head.u32(4);
  if (version !== 2 && version !== 3) return found(null, null, { note: "old-qcow" });
  return found("qcow2", head.u64(24), head.u64(8) ? { note: "backing-file" } : {});
}

function vmdk(head) {
  if (head.text(0, 4) === "KDMV") {
    const sectors = head.u64(12, true);
    const stream = /createType="streamOptimized"/.test(head.text(0, Math.min(head.length, 65536)));
    return found("vmdk", sectors === null ? null : sectors * 512, { variant: stream ? "stream" : "sparse" });
  }
  if (!/^# Disk DescriptorFile/i.test(head.text(0, Math.min(head.length, 64)).trimStart())) return null;
  const extents = head.text(0, Math.min(head.length, 65536)).matchAll(/^(?:RW|RDONLY|NOACCESS)\s+(\d{1,15})\s/gm);
  let sectors = 0;
  for (const extent of extents) sectors += Number(extent[1]);
  return found("vmdk", sectors * 512 || null, { variant: "descriptor", note: "descriptor" });
}

function vdi(head) {
  return head.u32(0x40, true) === 0xbeda107f ? found("vdi", head.u64(0x170, true)) : null;
}

const vhdSize = (footer, at) => footer.u64(at + 48);

function vhd(head, tail) {
  if (head.text(0, 8) === "conectix") return found("vhd", vhdSize(head, 0), { variant: "dynamic" });
  if (tail.text(tail.length - 512, 8) === "conectix") return found("vhd", vhdSize(tail, tail.length - 512), { variant: "fixed" });
  return null;
}

function iso(head) {
  return head.text(32769, 5) === "CD001" ? found("iso", null) : null;
}

function luks(head) {
  return head.text(0, 6) === "LUKS\u00ba\u00be" ? found("luks", null) : null;
}

function packed(head) {
  const start = head.hex(0, 6);
  const kinds = { "1f8b": "gzip", fd377a585a00: "xz", "28b52ffd": "zstd", "504b0304": "zip", "425a68": "bzip2", "377abcaf271c": "7z" };
  for (const [magic, kind] of Object.entries(kinds)) if (start.startsWith(magic)) return found(null, null, { packed: kind });
  return head.text(257, 5) === "ustar" ? found(null, null, { packed: "tar" }) : null;
}

function other(head) {
  return head.text(0, 4) === "QED\0" ? found(null, null, { note: "qed" }) : null;
}

function raw(head) {
  const boot = head.u16(510) === 0x55aa;
  const gpt = head.text(512, 8) === "EFI PART" || head.text(4096, 8) === "EFI PART";
  const ext = head.u16(0x438, true) === 0xef53;
  const variant = gpt ? "gpt" : boot ? "mbr" : ext ? "ext" : null;
  return found("raw", null, { variant, certain: variant !== null });
}

/** The region table at 192 KiB names the metadata region; an item in there is the disk's size. */
async function vhdx(head, read) {
  if (head.text(0, 8) !== "vhdxfile") return null;
  const region = table(head, 192 * 1024, "regi", 16, 32, (at) => ({ id: head.hex(at, 16), offset: head.u64(at + 16, true) }));
  const start = region.find((entry) => entry.id === VHDX_METADATA)?.offset;
  if (!start) return found("vhdx", null);
  const meta = await read(start, 64 * 1024);
  const items = table(meta, 0, "metadata", 32, 32, (at) => ({ id: meta.hex(at, 16), offset: meta.u32(at + 16, true) }));
  const item = items.find((entry) => entry.id === VHDX_DISK_SIZE);
  if (!item) return found("vhdx", null);
  const size = await read(start + item.offset, 8);
  return found("vhdx", size.u64(0, true));
}

/** Rows of a VHDX table: `signature`, a count, then rows of `width` bytes after a header of `header`. Bounded at 2047. */
function table(bytes, at, signature, header, width, row) {
  if (bytes.text(at, signature.length) !== signature) return [];
  const count = Math.min(signature === "regi" ? bytes.u32(at + 8, true) : bytes.u16(at + 10, true), 2047);
  const rows = [];
  for (let i = 0; i < count && bytes.has(at + header + i * width, width); i += 1) rows.push(row(at + header + i * width));
  return rows;
}

/** The suffix of `name` and the format it promises, or null for one that promises nothing. */
function promised(name) {
  const suffix = /\.([a-z0-9]+)$/i.exec(name)?.[1]?.toLowerCase();
  return suffix && Object.hasOwn(SUFFIXES, suffix) ? { suffix, format: SUFFIXES[suffix] } : null;
}

/**
 * What `blob` is: {format, virtualSize, size, variant, packed, note, certain, disagrees}.
 *
 * `format` is one of the server's names, or null for something that is no disk image; `packed` names the packing of a
 * compressed file; `note` is a reason why it will not do; `disagrees` is what the name promises when that is not so.
 */
export async function recognise(blob, name = "") {
  const read = async (offset, count) => new Bytes(await blob.slice(offset, Math.min(offset + count, blob.size)).arrayBuffer());
  const head = await read(0, HEAD);
  const tail = await read(Math.max(0, blob.size - 512), 512);
  const seen =
    qcow2(head) ?? vmdk(head) ?? vdi(head) ?? (await vhdx(head, read)) ?? vhd(head, tail) ?? luks(head) ?? packed(head) ?? other(head) ?? iso(head) ?? raw(head);
  const whole = seen.format === "raw" || seen.format === "iso" ? blob.size : null;
  const says = promised(name);
  const is = seen.packed ?? seen.format;
  const disagrees = says && is !== null && says.format !== is ? says : null;
  return { variant: null, packed: null, note: null, certain: true, ...seen, virtualSize: seen.virtualSize ?? whole, size: blob.size, disagrees };
}

/** A short mark of a file, to tell whether the same one was chosen again: SHA-256 of its first MiB, where the page may hash. */
export async function fingerprint(blob) {
  if (!globalThis.crypto?.subtle) return "";
  const digest = await crypto.subtle.digest("SHA-256", await blob.slice(0, HEAD).arrayBuffer());
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

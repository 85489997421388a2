"""Whatever people send is judged by its bytes: sound images stay, anything else is refused in one sentence."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from dashboard.core import errors, qemu_img
from images.formats import inspect
from images.formats.inspect import FileSource, Verdict, inspect_head, inspect_source
from tests.images import hostile
from tests.images.formats.cases import CASES, Case

HEAD = inspect.HEAD
STATUS = {"accept": 200, "reject": 415, "quota": 413}
BY_NAME = {case.name: case for case in CASES}
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
needs_qemu = pytest.mark.skipif(not qemu_img.available(), reason="qemu-img is not installed")


class Memory:
    """A file in memory: a source without a path, so that the bounded checks stand alone."""

    path = None

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)
        self.taken = 0

    def pread(self, offset: int, length: int, /) -> bytes:
        self.taken += length
        return self.data[offset : offset + length]


def outcome(judge, /, *args, **kwargs) -> tuple[int, str, Verdict | None]:
    try:
        return 200, "", judge(*args, **kwargs)
    except errors.Error as error:
        return error.status, str(error), None


def accumulate(pieces) -> tuple[bytes, bool]:
    """What a receiver of bytes does: keep them until a mebibyte or the end is there."""
    head = bytearray()
    for piece in pieces:
        head += piece
        if len(head) >= HEAD:
            return bytes(head), False
    return bytes(head), True


@each_case
def test_every_file_gets_its_verdict_from_the_checks_alone(case: Case) -> None:
    data = case.build()
    status, text, verdict = outcome(inspect_source, Memory(data), declared=case.declared, container=case.container)
    assert status == STATUS[case.verdict], text
    if verdict:
        assert verdict.format == case.declared
        assert case.container == "compressed" or case.container == "docker" or verdict.virtual_size


@each_case
def test_the_head_never_refuses_what_the_whole_file_is_accepted_for(case: Case) -> None:
    data = case.build()
    whole = outcome(inspect_source, Memory(data), declared=case.declared, container=case.container)
    for size in (None, len(data)):
        head = outcome(inspect_head, data[:HEAD], declared=case.declared, container=case.container, size=size)
        assert head[0] == 200 or head[:2] == whole[:2]


@each_case
def test_how_the_bytes_were_cut_does_not_matter(case: Case) -> None:
    data = case.build()
    verdicts = set()
    for size in (37, 511, 512, 4096, 65536, HEAD, len(data)):
        head, ended = accumulate(data[at : at + size] for at in range(0, len(data), size))
        known = len(data) if ended else None
        first = outcome(inspect_head, head, declared=case.declared, container=case.container, size=known)
        verdicts.add(
            first[:2] if first[0] != 200 else outcome(inspect_source, Memory(data), declared=case.declared, container=case.container)[:2]
        )
    assert len(verdicts) == 1
    assert verdicts.pop()[0] == STATUS[case.verdict]


def test_a_small_file_sent_byte_by_byte_is_judged_the_same() -> None:
    data = hostile.vhd(kind=4)
    head, _ended = accumulate(bytes([byte]) for byte in data)
    assert outcome(inspect_head, head, declared="vhd") == outcome(inspect_source, Memory(data), declared="vhd")


@pytest.mark.parametrize("case", [case for case in CASES if case.container == "bare"], ids=lambda case: case.name)
def test_no_container_format_lets_a_hostile_disk_through(case: Case) -> None:
    source = Memory(case.build())
    for container in ("", "ami", "ari", "aki", "bare", "ovf"):
        assert outcome(inspect_source, source, declared=case.declared, container=container)[0] == STATUS[case.verdict]
    for container in ("ova", "docker", "compressed"):
        status, _text, _verdict = outcome(inspect_source, source, declared=case.declared, container=container)
        assert status == (200 if (case.name, container) == ("raw: gzip", "compressed") else 415)


@pytest.mark.parametrize("declared", ["raw", "ami", "ari", "aki", "qcow2", "vmdk", "vhd", "vhdx", "vdi", "iso", "luks", "ploop"])
@pytest.mark.parametrize(
    "name", ["qcow2: sound", "vmdk: sound", "vhd: sound", "vhdx: sound", "vdi: sound", "iso: sound", "luks: sound", "ploop: sound"]
)
def test_only_what_was_declared_is_accepted(declared: str, name: str) -> None:
    status, text, _verdict = outcome(inspect_source, Memory(BY_NAME[name].build()), declared=declared)
    assert (status == 200) == name.startswith(declared + ":")
    if status != 200:
        assert name.split(":", maxsplit=1)[0] in text.lower()


@each_case
def test_a_refusal_is_one_plain_sentence_or_two(case: Case) -> None:
    status, text, _verdict = outcome(inspect_source, Memory(case.build()), declared=case.declared, container=case.container)
    if status != 200:
        assert text[0].isupper() and text.endswith((".", ").")) and 20 < len(text) < 200
        assert "/etc" not in text and "/tmp" not in text and "%(" not in text and "{" not in text


@each_case
def test_only_little_of_a_file_is_read(case: Case) -> None:
    source = Memory(case.build())
    outcome(inspect_source, source, declared=case.declared, container=case.container)
    assert source.taken <= 2 * HEAD + source.size


def test_an_empty_file_is_a_bad_request() -> None:
    for status in (outcome(inspect_head, b"", declared="raw")[0], outcome(inspect_source, Memory(b""), declared="qcow2")[0]):
        assert status == 400


def test_a_format_nobody_can_check_is_refused() -> None:
    assert outcome(inspect_source, Memory(b"x"), declared="floppy")[0] == 415


def test_a_file_larger_than_allowed_is_refused_by_its_announced_size() -> None:
    assert outcome(inspect_head, bytes(HEAD), declared="raw", size=2**41)[0] == 413


def test_the_limit_on_the_disk_inside_is_a_setting(settings) -> None:
    settings.IMAGE_SIZE_CAP = 512 * 1024
    status, text, _verdict = outcome(inspect_source, Memory(hostile.qcow2()), declared="qcow2")
    assert status == 413 and "at most 512 KiB" in text


@pytest.mark.parametrize(
    "broken",
    [
        ValueError("x"), TypeError("x"), KeyError("x"), IndexError("x"), AttributeError("x"), ZeroDivisionError(), OverflowError(),
        MemoryError(), RecursionError(), UnicodeDecodeError("ascii", b"\xff", 0, 1, "x"), AssertionError(), OSError(5, "I/O"),
        StopIteration(), EOFError(),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_a_check_that_breaks_is_a_refusal(broken: Exception, monkeypatch) -> None:
    def check(view, facts):
        raise broken

    monkeypatch.setattr(inspect, "FAMILIES", {**inspect.FAMILIES, "qcow2": check})
    data = hostile.qcow2()
    assert outcome(inspect_head, data, declared="qcow2")[0] == 415
    assert outcome(inspect_source, Memory(data), declared="qcow2")[0] == 415


def test_an_inspector_of_oslo_that_breaks_is_a_refusal(monkeypatch) -> None:
    def broken(self, chunk):
        raise ZeroDivisionError

    monkeypatch.setattr("oslo_utils.imageutils.format_inspector.VDIInspector.eat_chunk", broken)
    assert outcome(inspect_source, Memory(bytes(4096)), declared="raw")[0] == 415


@given(
    st.binary(min_size=1, max_size=2000),
    st.sampled_from(sorted(inspect.FAMILIES)),
    st.sampled_from(["bare", "ova", "docker", "compressed"]),
)
@hypothesis_settings(max_examples=300, deadline=None)
def test_no_bytes_crash_the_inspection(data: bytes, declared: str, container: str) -> None:
    assert outcome(inspect_source, Memory(data), declared=declared, container=container)[0] in (200, 413, 415)


SOUND = [case for case in CASES if case.verdict == "accept" and case.declared not in ("raw",) and case.container == "bare"]


@given(st.sampled_from(SOUND), st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), min_size=1, max_size=12))
@hypothesis_settings(max_examples=300, deadline=None)
def test_no_change_of_bytes_crashes_the_inspection(case: Case, changes: list[tuple[int, int]]) -> None:
    data = bytearray(case.build())
    for at, value in changes:
        data[at % min(len(data), 2048)] = value
    status, _text, _verdict = outcome(inspect_source, Memory(bytes(data)), declared=case.declared)
    assert status in (200, 413, 415)


# -- images made by qemu-img ----------------------------------------------------------------------------------------

MADE = [
    ("qcow2", "qcow2", []),
    ("qcow2", "qcow2", ["-o", "compat=0.10"]),
    ("qcow2", "qcow2", ["-c"]),
    ("qcow2", "qcow2", ["-c", "-o", "compression_type=zstd"]),
    ("qcow2", "qcow2", ["-o", "cluster_size=512"]),
    ("qcow2", "qcow2", ["-o", "cluster_size=2M"]),
    ("qcow2", "qcow2", ["-o", "refcount_bits=1"]),
    ("qcow2", "qcow2", ["-o", "refcount_bits=64"]),
    ("qcow2", "qcow2", ["-o", "preallocation=metadata"]),
    ("qcow2", "qcow2", ["-c", "-o", "cluster_size=4k"]),
    ("vmdk", "vmdk", []),
    ("vmdk", "vmdk", ["-o", "subformat=streamOptimized"]),
    ("vdi", "vdi", []),
    ("vhd", "vpc", []),
    ("vhd", "vpc", ["-o", "force_size=on"]),
    ("vhdx", "vhdx", []),
    ("vhdx", "vhdx", ["-o", "subformat=fixed"]),
    ("ploop", "parallels", []),
    ("raw", "raw", []),
]


def qemu(*arguments: object) -> None:
    subprocess.run(["qemu-img", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 MiB with data here and there."""
    path = tmp_path_factory.mktemp("disk") / "disk.raw"
    with path.open("wb") as file:
        file.truncate(20 * 2**20)
        for at in range(0, 20 * 2**20, 3 * 2**20):
            file.seek(at + 5000)
            file.write(os.urandom(200_000))
    return path


@needs_qemu
@pytest.mark.qemu
@pytest.mark.parametrize(("declared", "form", "options"), MADE, ids=lambda value: " ".join(value) if isinstance(value, list) else value)
def test_what_qemu_img_makes_is_accepted(declared: str, form: str, options: list[str], disk: Path, tmp_path: Path) -> None:
    path = tmp_path / "image, with a comma"
    qemu("convert", "-f", "raw", "-O", form, *options, disk, path)
    with FileSource(path) as source:
        head = source.pread(0, HEAD)
        inspect_head(head, declared=declared, size=source.size)
        verdict = inspect_source(source, declared=declared)
    assert verdict.virtual_size is not None and 0 <= verdict.virtual_size - 20 * 2**20 < 40_000
    assert "zstd" not in " ".join(options) or verdict.subformat == "zstd"
    assert "streamOptimized" not in " ".join(options) or verdict.subformat == "streamOptimized"


@needs_qemu
@pytest.mark.qemu
@pytest.mark.parametrize("size", ["1M", "40G", "127G", "200G", "1023G"])
@pytest.mark.parametrize(("declared", "form"), [("qcow2", "qcow2"), ("vmdk", "vmdk"), ("vdi", "vdi"), ("vhd", "vpc"), ("vhdx", "vhdx")])
def test_an_empty_disk_of_any_size_is_accepted(declared: str, form: str, size: str, tmp_path: Path) -> None:
    path = tmp_path / "disk"
    qemu("create", "-f", form, path, size)
    with FileSource(path) as source:
        assert inspect_source(source, declared=declared).format == declared


@needs_qemu
@pytest.mark.qemu
def test_a_disk_inside_a_package_is_found_and_opened_there(disk: Path, tmp_path: Path) -> None:
    qemu("convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", disk, tmp_path / "disk.vmdk")
    package = tmp_path / "box.ova"
    package.write_bytes(hostile.ova(("box.ovf", hostile.OVF), ("disk.vmdk", (tmp_path / "disk.vmdk").read_bytes())))
    with FileSource(package) as source:
        verdict = inspect_source(source, declared="vmdk", container="ova")
    assert verdict.virtual_size == 20 * 2**20 and verdict.disk is not None
    offset, length = verdict.disk
    assert package.read_bytes()[offset : offset + length] == (tmp_path / "disk.vmdk").read_bytes()


@needs_qemu
@pytest.mark.qemu
@pytest.mark.parametrize(
    "make",
    [
        ["create", "-f", "qcow2", "-b", "SECRET", "-F", "raw", "IMAGE", "1M"],
        ["create", "-f", "qcow2", "-o", "data_file=SECRET.data", "IMAGE", "1M"],
        ["create", "-f", "vmdk", "-o", "subformat=monolithicFlat", "IMAGE", "1M"],
        ["create", "-f", "vmdk", "-o", "subformat=twoGbMaxExtentSparse", "IMAGE", "1M"],
        ["create", "-f", "qcow2", "-o", "extended_l2=on", "IMAGE", "1M"],
        ["create", "-f", "qed", "IMAGE", "1M"],
        ["create", "-f", "qcow", "IMAGE", "1M"],
    ],
    ids=lambda make: " ".join(make[2:5]),
)
def test_what_qemu_img_makes_with_references_is_refused(make: list[str], tmp_path: Path) -> None:
    secret, image = tmp_path / "secret.raw", tmp_path / "image"
    secret.write_bytes(bytes(2**20))
    qemu(*(word.replace("SECRET", str(secret)).replace("IMAGE", str(image)) for word in make))
    for declared in (make[2], "raw"):
        with FileSource(image) as source:
            assert outcome(inspect_source, source, declared=declared)[0] == 415


@needs_qemu
@pytest.mark.qemu
def test_qemu_img_has_the_last_word(tmp_path: Path) -> None:
    """The hand-made VHDX lacks the checksums that only qemu-img looks at."""
    path = tmp_path / "disk.vhdx"
    path.write_bytes(hostile.vhdx())
    with FileSource(path) as source:
        status, text, _verdict = outcome(inspect_source, source, declared="vhdx")
    assert status == 415 and str(tmp_path) not in text


@needs_qemu
@pytest.mark.qemu
def test_a_crashing_qemu_img_refuses_the_file(tmp_path: Path, monkeypatch) -> None:
    fake = tmp_path / "bin" / "qemu-img"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\nkill -SEGV $$\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    path = tmp_path / "disk"
    path.write_bytes(hostile.qcow2())
    with FileSource(path) as source:
        assert outcome(inspect_source, source, declared="qcow2")[0] == 415


def test_without_qemu_img_the_checks_decide(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    path = tmp_path / "disk"
    path.write_bytes(hostile.qcow2())
    with FileSource(path) as source:
        assert inspect_source(source, declared="qcow2").virtual_size == 2**20


# -- the corpus -----------------------------------------------------------------------------------------------------

CORPUS = os.environ.get("VITRINE_CORPUS", "")


@pytest.mark.skipif(not CORPUS, reason="VITRINE_CORPUS does not name a folder with a corpus and its manifest.json")
def test_every_file_of_a_corpus_gets_the_verdict_of_its_manifest() -> None:
    allowed = {
        "accept": {200},
        "accept-raw": {200},
        "reject": {415},
        "reject-convert": {415},
        "reject-quota": {413},
        "any-no-crash": {200, 413, 415},
    }
    manifest = json.loads((Path(CORPUS) / "manifest.json").read_text())
    cases = next(value for value in manifest.values() if isinstance(value, list))
    wrong = []
    for case in cases:
        container = "ova" if case["name"].endswith(".ova") else "bare"
        with FileSource(Path(CORPUS) / case["name"]) as source:
            first = outcome(inspect_head, source.pread(0, HEAD), declared=case["claim"], container=container, size=source.size)
            status = first[0] if first[0] != 200 else outcome(inspect_source, source, declared=case["claim"], container=container)[0]
        if status not in allowed[case["verdict"]]:
            wrong.append((case["name"], case["verdict"], status))
    assert not wrong

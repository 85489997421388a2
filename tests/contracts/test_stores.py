"""Every store keeps the contract of images.stores.base."""

import errno
import os
from pathlib import Path

import pytest

from dashboard.core.errors import NotFound, StorageFull
from images.models.blob import new_key
from images.stores import sparse
from images.stores.base import Store
from images.stores.filesystem import FileSystemStore
from images.stores.memory import MemoryStore

MIB = 2**20


@pytest.fixture(params=["memory", "filesystem"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else FileSystemStore(str(tmp_path / "blobs"))


def put(store: Store, *pieces: bytes) -> str:
    key = new_key()
    writer = store.open_writer(key)
    for piece in pieces:
        writer.write(piece)
    writer.commit()
    return key


def content(store: Store, key: str, **span: int) -> bytes:
    return b"".join(store.read(key, **span))


def test_what_was_committed_is_read_back(store: Store):
    pieces = [os.urandom(n) for n in (1, 511, 4096, 3 * MIB + 17)]
    key = put(store, *pieces)
    assert content(store, key) == b"".join(pieces)
    assert store.size(key) == sum(map(len, pieces))


@pytest.mark.parametrize(("offset", "length"), [(0, 1), (0, 0), (5, 10), (MIB - 1, 2), (2 * MIB, None), (2 * MIB + 5, 9), (3 * MIB, 5)])
def test_a_range_is_exactly_that_part(store: Store, offset: int, length: int | None):
    whole = os.urandom(2 * MIB + 7)
    key = put(store, whole)
    end = len(whole) if length is None else offset + length
    assert b"".join(store.read(key, offset=offset, length=length)) == whole[offset:end]


def test_an_empty_blob_is_a_blob(store: Store):
    key = put(store)
    assert store.size(key) == 0
    assert content(store, key) == b""


def test_nothing_is_visible_before_commit(store: Store):
    key = new_key()
    writer = store.open_writer(key)
    writer.write(b"half")
    with pytest.raises(NotFound):
        store.read(key)
    with pytest.raises(NotFound):
        store.size(key)
    writer.abort()


def test_abort_leaves_nothing_and_frees_the_key(store: Store):
    key = new_key()
    writer = store.open_writer(key)
    writer.write(b"x" * MIB)
    writer.abort()
    writer.abort()
    assert list(store.inventory()) == []
    with pytest.raises(NotFound):
        store.read(key)
    store.open_writer(key).commit()
    assert store.size(key) == 0


def test_abort_after_commit_changes_nothing(store: Store):
    key = new_key()
    writer = store.open_writer(key)
    writer.write(b"kept")
    writer.commit()
    writer.abort()
    assert content(store, key) == b"kept"


def test_a_committed_blob_never_changes(store: Store):
    key = put(store, b"first")
    with pytest.raises(FileExistsError):
        store.open_writer(key)
    assert content(store, key) == b"first"


def test_a_closed_writer_takes_no_more(store: Store):
    writer = store.open_writer(new_key())
    writer.commit()
    with pytest.raises(ValueError, match="closed"):
        writer.write(b"late")


def test_a_growing_blob_can_be_inspected(store: Store):
    writer = store.open_writer(new_key())
    writer.write(b"abc" + bytes(100_000))
    assert writer.size == 100_003
    assert writer.pread(1, 4) == b"bc\0\0"
    assert writer.pread(100_000, 50) == bytes(3)
    assert writer.pread(200_000, 5) == b""
    if writer.path is not None:
        assert writer.path.stat().st_size == 100_003
    writer.abort()


@pytest.mark.parametrize("shape", ["leading", "trailing", "middle", "only", "odd"])
def test_zeros_come_back_as_zeros(store: Store, shape: str):
    data = os.urandom(70_001)
    hole = bytes(5 * MIB)
    pieces = {
        "leading": [hole, data],
        "trailing": [data, hole],
        "middle": [data, hole, data],
        "only": [hole],
        "odd": [data[:11], bytes(13), hole, data, bytes(65_537)],
    }[shape]
    key = put(store, *pieces)
    assert content(store, key) == b"".join(pieces)


def test_delete_removes_everything_and_may_be_repeated(store: Store):
    key, other = put(store, b"gone"), put(store, b"stays")
    store.delete(key)
    store.delete(key)
    with pytest.raises(NotFound):
        store.read(key)
    assert content(store, other) == b"stays"
    assert [kept for kept, _when in store.inventory()] == [other]


def test_delete_removes_what_a_crashed_writer_left(store: Store):
    key = new_key()
    store.open_writer(key).write(b"x" * 100)
    assert [kept for kept, _when in store.inventory()] == [key]
    store.delete(key)
    assert list(store.inventory()) == []


def test_an_adopted_file_is_the_blob_and_is_still_there_should_a_crash_follow(store: Store, tmp_path: Path):
    file, data = tmp_path / "staged", os.urandom(MIB + 3)
    file.write_bytes(data)
    key = new_key()
    store.adopt(file, key)
    assert content(store, key) == data
    assert file.read_bytes() == data
    file.unlink()
    assert content(store, key) == data


@pytest.mark.parametrize("key", ["", "..", "../../etc/passwd", "a/b", "/abs", "ab\0cd", "x" * 65, "ABCDEF"])
def test_a_key_we_cannot_have_made_is_refused(store: Store, key: str):
    for use in (store.open_writer, store.delete, store.size, store.read):
        with pytest.raises(ValueError, match="not a blob key"):
            use(key)


def test_usage_tells_used_and_free(store: Store):
    used, free = store.usage()
    assert used >= 0
    assert free > 0


def test_a_local_store_names_the_file(store: Store):
    key = put(store, b"bytes")
    path = store.path(key)
    if "local" in store.capabilities:
        assert path is not None
        assert path.read_bytes() == b"bytes"
    else:
        assert path is None


# -- what only one of them can show ---------------------------------------------------------------------------------
def test_a_full_memory_store_says_so():
    store = MemoryStore(capacity=1000)
    writer = store.open_writer(new_key())
    with pytest.raises(StorageFull):
        writer.write(bytes(1001))
    writer.abort()


def test_a_full_disk_says_so(tmp_path: Path):
    with pytest.raises(StorageFull) as refused, sparse.full_is_refused(tmp_path, 7):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert refused.value.fields["needed"] == 7
    with pytest.raises(OSError, match="Input/output"), sparse.full_is_refused(tmp_path):
        raise OSError(errno.EIO, "Input/output error")


def test_holes_cost_no_space_on_disk(tmp_path: Path):
    store = FileSystemStore(str(tmp_path))
    key = put(store, b"head", bytes(64 * MIB), b"tail")
    status = store.path(key).stat()
    assert status.st_size == 64 * MIB + 8
    assert status.st_blocks * 512 < MIB


def test_a_copy_between_disks_keeps_holes(tmp_path: Path):
    source, target = tmp_path / "source", tmp_path / "target"
    with source.open("wb") as file:
        file.write(b"begin")
        file.seek(32 * MIB)
        file.write(b"end")
        file.truncate(40 * MIB)
    with source.open("rb") as reading, target.open("wb") as writing:
        assert sparse.copy(reading.fileno(), writing.fileno()) == 40 * MIB
    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_blocks * 512 < MIB


def test_adoption_across_disks_copies(tmp_path: Path):
    shared = Path("/dev/shm")
    if not shared.is_dir() or shared.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system here")
    file = shared / f"vitrine-{new_key()}"
    file.write_bytes(b"from another disk")
    store, key = FileSystemStore(str(tmp_path)), new_key()
    store.adopt(file, key)
    file.unlink()
    assert content(store, key) == b"from another disk"


def test_every_blob_has_a_directory_of_its_own(tmp_path: Path):
    store = FileSystemStore(str(tmp_path))
    key = put(store, b"x")
    path = store.path(key)
    assert path.parent.name == key
    assert [p.name for p in path.parent.iterdir()] == ["data"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_link_planted_in_the_store_is_not_followed(tmp_path: Path):
    store, key = FileSystemStore(str(tmp_path / "blobs")), new_key()
    secret = tmp_path / "secret"
    secret.write_text("secret")
    path = store.path(key)
    path.parent.mkdir(parents=True)
    path.symlink_to(secret)
    with pytest.raises(OSError):
        b"".join(store.read(key))

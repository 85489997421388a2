"""Bytes are kept as long as somebody refers to them, and no longer; whatever a crash leaves is found by its row."""

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from dashboard.core.errors import Gone, NotFound
from images import stores
from images.models import Blob, Image
from images.services import blobs, data
from images.states import Status
from tests.factories import make_image

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def store(settings: Any, tmp_path: Path) -> Any:
    settings.STORES = {"local": {"driver": "images.stores.filesystem.FileSystemStore", "root": str(tmp_path / "blobs")}}
    settings.DEFAULT_STORE = "local"
    return stores.default_store()


def dead_lease() -> str:
    import socket

    return f"{socket.gethostname()}:999999999:1"


def active(tmp_path: Path, content: bytes) -> Image:
    """An image with these bytes."""
    file = tmp_path / os.urandom(4).hex()
    file.write_bytes(content)
    stored = data.store_file(file)
    image = make_image(status="importing", size=None, disk_format="raw")
    return data.activate(
        image, stored.blob, size=stored.size, virtual_size=stored.size, checksum=stored.checksum, os_hash_value=stored.os_hash_value
    )


def held(store: Any) -> list[str]:
    return [key for key, _when in store.inventory()]


def test_an_image_gets_its_bytes_and_all_that_is_known_of_them(store: Any, tmp_path: Path):
    content = os.urandom(5_000_001)
    image = Image.objects.get(pk=active(tmp_path, content).pk)
    blob = image.locations.get().blob
    assert image.status == Status.ACTIVE
    assert (image.size, image.checksum) == (len(content), hashlib.md5(content).hexdigest())
    assert (image.os_hash_algo, image.os_hash_value) == ("sha512", hashlib.sha512(content).hexdigest())
    assert (blob.state, blob.refs, blob.size) == ("ready", 1, len(content))
    assert b"".join(store.read(blob.key)) == content


def test_a_file_with_holes_is_hashed_as_the_zeros_it_stands_for(tmp_path: Path):
    file = tmp_path / "sparse"
    with file.open("wb") as target:
        target.seek(9_000_000)
        target.write(b"island")
        target.truncate(20_000_000)
    size, digests = data.hash_file(file)
    assert size == 20_000_000
    assert digests.checksum == hashlib.md5(file.read_bytes()).hexdigest()
    assert digests.os_hash_value == hashlib.sha512(file.read_bytes()).hexdigest()


def test_another_hash_may_be_configured(settings: Any, store: Any, tmp_path: Path):
    settings.HASHING_ALGORITHM = "sha256"
    image = active(tmp_path, b"content")
    assert (image.os_hash_algo, image.os_hash_value) == ("sha256", hashlib.sha256(b"content").hexdigest())
    assert image.locations.get().blob.sha512 == hashlib.sha512(b"content").hexdigest()


def test_hashing_stops_when_the_listener_objects(tmp_path: Path):
    file = tmp_path / "file"
    file.write_bytes(bytes(10_000_000))

    def object_(done: int) -> None:
        if done > 5_000_000:
            raise NotFound("enough")

    with pytest.raises(NotFound, match="enough"):
        data.store_file(file, on_hash=object_)
    assert file.exists()
    assert not Blob.objects.exists()


def test_identical_content_is_kept_once_until_the_last_image_goes(store: Any, tmp_path: Path):
    first, second = active(tmp_path, b"same" * 1000), active(tmp_path, b"same" * 1000)
    assert first.locations.get().blob == second.locations.get().blob
    assert Blob.objects.get().refs == 2
    assert len(held(store)) == 1
    blobs.release(first)
    assert b"".join(store.read(Blob.objects.get().key)) == b"same" * 1000
    blobs.release(second)
    assert held(store) == []
    assert not Blob.objects.exists()


def test_content_that_differs_is_not_shared(store: Any, tmp_path: Path):
    active(tmp_path, b"one")
    active(tmp_path, b"two")
    assert len(held(store)) == 2


def test_an_image_deleted_meanwhile_gets_nothing_and_leaves_nothing(store: Any, tmp_path: Path):
    file = tmp_path / "file"
    file.write_bytes(b"late")
    stored = data.store_file(file)
    image = make_image(status="importing")
    Image.objects.filter(pk=image.pk).update(status=Status.DELETED)
    with pytest.raises(Gone):
        data.activate(image, stored.blob, size=4, virtual_size=4, checksum="", os_hash_value="")
    assert held(store) == []
    assert not Blob.objects.exists()


def test_what_a_dead_writer_left_is_swept(store: Any):
    blob = blobs.writing("local")
    store.open_writer(blob.key).write(b"half")
    assert blobs.sweep() == 0  # we are alive
    Blob.objects.filter(pk=blob.pk).update(lease=dead_lease())
    assert blobs.sweep() == 1
    assert held(store) == []
    assert not Blob.objects.exists()


def test_a_deletion_cut_short_is_finished_by_the_sweep(store: Any, tmp_path: Path):
    image = active(tmp_path, b"bytes")
    blob = image.locations.get().blob
    image.locations.all().delete()
    Blob.objects.filter(pk=blob.pk).update(state="deleting", refs=0, created_at="2020-01-01T00:00:00Z")
    blobs.sweep()
    assert held(store) == []
    assert not Blob.objects.exists()


def test_files_without_a_row_are_swept_once_they_are_old(store: Any):
    import time

    store.open_writer("f" * 32).commit()
    blobs.sweep()
    assert held(store) == ["f" * 32]
    blobs.sweep(now=time.time() + 7200)
    assert held(store) == []


def test_bytes_that_cannot_be_removed_are_tried_again(store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    image = active(tmp_path, b"bytes")
    with monkeypatch.context() as patch:
        patch.setattr(type(store), "delete", lambda self, key: (_ for _ in ()).throw(OSError("busy")))
        blobs.release(image)
    assert Blob.objects.get().state == "deleting"
    Blob.objects.update(created_at="2020-01-01T00:00:00Z")
    blobs.sweep()
    assert held(store) == []

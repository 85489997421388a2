"""What inspection costs, as a share of hashing the same file in the same run: `python -m tests.benchmarks.bench_inspect [MiB]`."""

import hashlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import django

ROUNDS = 5
BLOCK = 4 * 2**20


def seconds(action: Callable[[], object]) -> float:
    """The median of a few runs."""
    taken = []
    for _round in range(ROUNDS):
        started = time.perf_counter()
        action()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def hash_file(path: Path) -> None:
    digest = hashlib.sha512()
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)


def main(mebibytes: int) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dashboard.settings")
    django.setup()
    from dashboard.core import qemu_img
    from images.formats.inspect import HEAD, FileSource, inspect_head, inspect_source

    class Alone(FileSource):
        """Without a path: the bounded checks only, no qemu-img."""

        def __init__(self, path: Path) -> None:
            super().__init__(path)
            self.path = None

    def head(path: Path, declared: str) -> None:
        with Alone(path) as source:
            inspect_head(source.pread(0, HEAD), declared=declared, size=source.size)

    def whole(path: Path, declared: str, kind: type[FileSource]) -> None:
        with kind(path) as source:
            inspect_source(source, declared=declared)

    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "raw"
        with raw.open("wb") as file:
            for _mebibyte in range(mebibytes):
                file.write(os.urandom(2**20))
        print(f"{mebibytes} MiB, medians of {ROUNDS}; shares of one SHA-512 over the file")
        print(f"{'format':8} {'sha512':>9} {'head':>17} {'whole file':>17} {'with qemu-img':>17}")
        for form in ("raw", "qcow2", "vmdk", "vdi", "vhd", "vhdx"):
            path = Path(folder) / form
            if form != "raw":
                qemu_img.convert(raw, "raw", path, form, on_progress=lambda _percent: None, cancelled=lambda: False)
            base = seconds(lambda path=path: hash_file(path))  # type: ignore[misc]
            costs = [
                seconds(lambda path=path, form=form: head(path, form)),  # type: ignore[misc]
                seconds(lambda path=path, form=form: whole(path, form, Alone)),  # type: ignore[misc]
                seconds(lambda path=path, form=form: whole(path, form, FileSource)),  # type: ignore[misc]
            ]
            print(f"{form:8} {base * 1000:6.0f} ms " + " ".join(f"{cost * 1000:6.2f} ms {cost / base:6.2%}" for cost in costs))
            if form != "raw":
                path.unlink()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 256)

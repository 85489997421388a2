"""qemu-img is run with named formats, under limits, and never outlives the one who asked."""

import itertools
import os
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dashboard.core import errors, qemu_img
from tests.waiting import until

needs_qemu = pytest.mark.skipif(not qemu_img.available(), reason="qemu-img is not installed")
MIB = 2**20


def gone(pid: int) -> bool:
    """No such process, or a zombie nobody has reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64 MiB with 16 MiB of data."""
    path = tmp_path_factory.mktemp("disks") / "a disk, with a comma.raw"
    with path.open("wb") as file:
        file.truncate(64 * MIB)
        for at in range(0, 64 * MIB, 4 * MIB):
            file.seek(at)
            file.write(os.urandom(MIB))
    return path


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Puts a shell script in the place of qemu-img; returns the folder it may write to."""

    def install(script: str) -> Path:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        program = folder / "qemu-img"
        program.write_text(f'#!/bin/sh\nHERE={folder}\n[ "$1" = info ] && echo \'{{"virtual-size": 1048576}}\' && exit 0\n{script}\n')
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        return folder

    return install


def convert(source: Path, target: Path, **changes: object) -> list[float]:
    seen: list[float] = []
    arguments: dict[str, object] = {"on_progress": seen.append, "cancelled": lambda: False, **changes}
    qemu_img.convert(source, "raw", target, "qcow2", **arguments)  # type: ignore[arg-type]
    return seen


# -- the real program -----------------------------------------------------------------------------------------------


@needs_qemu
@pytest.mark.qemu
def test_it_says_its_version() -> None:
    version = qemu_img.version()
    assert version is not None and int(version.split(".")[0]) >= 5


@needs_qemu
@pytest.mark.qemu
@pytest.mark.parametrize("form", ["raw", "qcow2", "vmdk", "vdi", "vhd", "vhdx"])
def test_a_disk_survives_the_way_there_and_back(form: str, disk: Path, tmp_path: Path) -> None:
    there, back = tmp_path / "there", tmp_path / "back"
    qemu_img.convert(disk, "raw", there, form, on_progress=lambda _: None, cancelled=lambda: False)
    assert qemu_img.info(there, form).virtual_size == 64 * MIB
    qemu_img.convert(there, form, back, "raw", on_progress=lambda _: None, cancelled=lambda: False)
    assert back.read_bytes() == disk.read_bytes()
    assert back.stat().st_blocks * 512 < 40 * MIB, "the holes were filled"


@needs_qemu
@pytest.mark.qemu
def test_progress_rises_in_steps_to_a_hundred(disk: Path, tmp_path: Path) -> None:
    seen = convert(disk, tmp_path / "out")
    assert seen == sorted(seen) and seen[-1] == 100.0
    assert len(set(seen)) >= 5


@needs_qemu
@pytest.mark.qemu
@pytest.mark.parametrize("form", ["qcow2", "vmdk", "vdi", "vhd", "vhdx"])
def test_what_a_conversion_will_take_is_known_before(form: str, disk: Path, tmp_path: Path) -> None:
    measure = qemu_img.measure(disk, "raw", form)
    target = tmp_path / "out"
    qemu_img.convert(disk, "raw", target, form, on_progress=lambda _: None, cancelled=lambda: False)
    assert 16 * MIB <= target.stat().st_size <= measure.required < measure.fully_allocated


@needs_qemu
@pytest.mark.qemu
def test_an_image_that_refers_to_another_is_never_converted(tmp_path: Path) -> None:
    secret, image, target = tmp_path / "secret", tmp_path / "image", tmp_path / "out"
    secret.write_bytes(b"secret" * 20000)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(secret), "-F", "raw", str(image)], check=True)
    assert not qemu_img.info(image, "qcow2").stands_alone
    with pytest.raises(errors.UnsupportedFormat):
        qemu_img.convert(image, "qcow2", target, "raw", on_progress=lambda _: None, cancelled=lambda: False)
    assert not target.exists()


@needs_qemu
@pytest.mark.qemu
def test_the_named_format_is_the_only_one_tried(disk: Path, tmp_path: Path) -> None:
    convert(disk, tmp_path / "image")
    assert qemu_img.info(tmp_path / "image", "raw").virtual_size == (tmp_path / "image").stat().st_size
    with pytest.raises(errors.UnsupportedFormat) as refusal:
        qemu_img.info(disk, "qcow2")
    assert str(disk.parent) not in str(refusal.value)


@needs_qemu
@pytest.mark.qemu
def test_a_name_that_looks_like_a_protocol_is_a_file(disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    target = Path('json:{"driver":"null-co"}')
    convert(disk, target)
    assert qemu_img.info(target, "qcow2").virtual_size == 64 * MIB
    assert (tmp_path / target).stat().st_size > MIB


@needs_qemu
@pytest.mark.qemu
def test_a_result_larger_than_its_disk_is_cut_short(disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = qemu_img._Limits
    monkeypatch.setattr(qemu_img, "_Limits", lambda cpu, wall, fsize: limits(cpu=cpu, wall=wall, fsize=MIB))
    with pytest.raises((errors.TooLarge, errors.UnsupportedFormat)):
        convert(disk, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("source", "target"), [("raw", "exe"), ("raw", "luks"), ("exe", "raw"), ("json:{}", "raw")])
def test_only_known_formats_are_passed_on(source: str, target: str, disk: Path, tmp_path: Path) -> None:
    with pytest.raises(errors.BadRequest):
        qemu_img.convert(disk, source, tmp_path / "out", target, on_progress=lambda _: None, cancelled=lambda: False)


# -- a program that misbehaves --------------------------------------------------------------------------------------


def test_cancelling_kills_the_child_and_removes_the_target(fake: Callable[[str], Path], disk: Path, tmp_path: Path) -> None:
    folder = fake('echo $$ > $HERE/pid; for target; do :; done; echo x > "$target"; sleep 60')
    with pytest.raises(qemu_img.Cancelled):
        convert(disk, tmp_path / "out", cancelled=lambda: (folder / "pid").exists() and bool((folder / "pid").read_text().strip()))
    assert gone(int((folder / "pid").read_text()))
    assert not (tmp_path / "out").exists()


def test_cancelling_is_asked_for_four_times_a_second(fake: Callable[[str], Path], disk: Path, tmp_path: Path) -> None:
    fake("sleep 60")
    asked: list[float] = []

    def cancelled() -> bool:
        asked.append(time.monotonic())
        return len(asked) == 6

    with pytest.raises(qemu_img.Cancelled):
        convert(disk, tmp_path / "out", cancelled=cancelled)
    assert sorted(b - a for a, b in itertools.pairwise(asked))[2] <= 0.25


def test_a_callback_that_raises_ends_the_child_too(fake: Callable[[str], Path], disk: Path, tmp_path: Path) -> None:
    folder = fake("echo $$ > $HERE/pid; printf '    (50.00/100%%)\\r'; sleep 60")

    def on_progress(percent: float) -> None:
        raise LookupError(percent)

    with pytest.raises(LookupError):
        convert(disk, tmp_path / "out", on_progress=on_progress)
    assert gone(int((folder / "pid").read_text()))


def test_progress_is_read_in_any_pieces() -> None:
    seen: list[float] = []
    reader = qemu_img._ProgressReader(seen.append)
    for byte in b"    (0.00/100%)\r    (12.34/100%)\r    (12.34/100%)\r    (7.00/100%)\r    (99.99/100%)\r":
        reader.feed(bytes([byte]))
    assert seen == [0.0, 12.34, 99.99]


def test_one_crash_is_forgiven(fake: Callable[[str], Path], disk: Path, tmp_path: Path) -> None:
    folder = fake("[ -e $HERE/again ] && exit 0; touch $HERE/again; kill -SEGV $$")
    assert convert(disk, tmp_path / "out") == [100.0]
    assert (folder / "again").exists()


def test_two_crashes_refuse_the_file(fake: Callable[[str], Path], disk: Path, tmp_path: Path) -> None:
    folder = fake("echo x >> $HERE/runs; kill -ABRT $$")
    with pytest.raises(errors.UnsupportedFormat):
        convert(disk, tmp_path / "out")
    assert (folder / "runs").read_text() == "x\nx\n"


def test_a_program_that_hangs_is_ended(fake: Callable[[str], Path], disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fake("")
    (folder / "qemu-img").write_text(f"#!/bin/sh\necho $$ > {folder}/pid\nexec >&- 2>&-\nsleep 60\n")
    monkeypatch.setattr(qemu_img, "_QUICK", qemu_img._Limits(cpu=30, wall=0.5, fsize=MIB))
    with pytest.raises(errors.UnsupportedFormat):
        qemu_img.info(disk, "raw")
    assert gone(int((folder / "pid").read_text()))


def test_a_program_that_burns_the_processor_is_ended(fake: Callable[[str], Path], disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fake("")
    (folder / "qemu-img").write_text("#!/bin/sh\nwhile :; do :; done\n")
    monkeypatch.setattr(qemu_img, "_QUICK", qemu_img._Limits(cpu=1, wall=30, fsize=MIB))
    started = time.monotonic()
    with pytest.raises(errors.UnsupportedFormat):
        qemu_img.info(disk, "raw")
    assert time.monotonic() - started < 20


def test_endless_output_is_not_kept(fake: Callable[[str], Path], disk: Path) -> None:
    folder = fake("")
    (folder / "qemu-img").write_text("#!/bin/sh\nhead -c 20000000 /dev/zero; head -c 20000000 /dev/zero >&2\n")
    with pytest.raises(errors.UnsupportedFormat):
        qemu_img.info(disk, "raw")


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("error while writing: No space left on device", errors.StorageFull),
        ("error while writing: File too large", errors.TooLarge),
        ("error while reading at byte 0: Input/output error", errors.UnsupportedFormat),
        ("Could not open '/srv/secret/x': Image is not in qcow2 format", errors.UnsupportedFormat),
    ],
)
def test_what_it_complains_about_becomes_our_sentence(
    said: str, error: type[errors.Error], fake: Callable[[str], Path], disk: Path, tmp_path: Path
) -> None:
    fake(f'echo "qemu-img: {said}" >&2; exit 1')
    with pytest.raises(error) as refusal:
        convert(disk, tmp_path / "out")
    assert "/" not in str(refusal.value) and "qemu" not in str(refusal.value)


@pytest.mark.parametrize("wrapped", ["prlimit and setpriv", "python"])
def test_the_child_runs_under_limits_and_without_our_environment(
    wrapped: str, fake: Callable[[str], Path], disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fake("cat /proc/self/limits > $HERE/limits; env > $HERE/env; cat /proc/self/stat > $HERE/stat; pwd > $HERE/pwd")
    if wrapped == "python":
        which = shutil.which
        monkeypatch.setattr(shutil, "which", lambda name: None if name in ("prlimit", "setpriv") else which(name))
    monkeypatch.setenv("VITRINE_SECRET_KEY", "do not tell")
    convert(disk, tmp_path / "out")
    limits = {line[:25].strip(): line[26:46].strip() for line in (folder / "limits").read_text().splitlines()}
    assert limits["Max address space"] == str(qemu_img.MEMORY)
    assert limits["Max core file size"] == "0"
    assert limits["Max cpu time"].isdigit() and limits["Max file size"] == str(MIB + MIB // 16 + 64 * MIB)
    assert "VITRINE" not in (folder / "env").read_text() and "HOME" not in (folder / "env").read_text()
    assert (folder / "pwd").read_text() == "/\n"
    assert int((folder / "stat").read_text().rsplit(")", 1)[1].split()[16]) >= 10, "it runs below our priority"


@pytest.mark.parametrize("wrapped", ["prlimit and setpriv", "python"])
def test_the_child_dies_with_us(wrapped: str, fake: Callable[[str], Path], disk: Path, tmp_path: Path) -> None:
    folder = fake("echo $$ > $HERE/pid.new; mv $HERE/pid.new $HERE/pid; exec sleep 60")
    script = textwrap.dedent(f"""
        from pathlib import Path
        import django, shutil
        django.setup()
        from dashboard.core import qemu_img
        if {wrapped == "python"}:
            which = shutil.which
            shutil.which = lambda name: None if name in ("prlimit", "setpriv") else which(name)
        qemu_img.convert(Path({str(disk)!r}), "raw", Path({str(tmp_path / "out")!r}), "qcow2", on_progress=print, cancelled=lambda: False)
    """)
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "dashboard.settings"}
    parent = subprocess.Popen([sys.executable, "-c", script], env=environment, cwd=Path(__file__).parents[2])
    try:
        until((folder / "pid").exists)
        child = int((folder / "pid").read_text())
        assert not gone(child)
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    until(lambda: gone(child))


def test_many_threads_may_ask_at_once(fake: Callable[[str], Path], disk: Path) -> None:
    fake("")
    answers: list[int] = []
    threads = [threading.Thread(target=lambda: answers.append(qemu_img.info(disk, "raw").virtual_size)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [MIB] * 8


def test_where_it_is_not_installed_we_say_so(disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not qemu_img.available() and qemu_img.version() is None
    with pytest.raises(errors.Unavailable, match="not installed"):
        qemu_img.info(disk, "raw")

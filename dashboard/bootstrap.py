"""Makes a bare machine ready: the virtual environment, the locked requirements, the system's tools.

Standard library only, and parses on old Pythons, since it runs before anything else does. Every command it runs is echoed with
`+`. Nothing outside the folder is touched unless it runs as root on a Debian-like system; `VITRINE_NO_APT=1` forbids that too.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
REQUIREMENTS = ROOT / "dashboard" / "requirements"
OLDEST = (3, 11)

# program or library → (Debian package, what is switched off without it)
TOOLS = {"qemu-img": ("qemu-utils", "conversion of images, and the second look at their format")}
TEST_TOOLS = {
    "chromium": ("chromium", "the browser tests"),
    "libatomic.so.1": ("libatomic1", "the browser tests, whose driver needs it"),
    "node": ("nodejs", "the test of the tus client outside a browser"),
}


def prepare(argv: list[str]) -> None:
    """Return when this process can run the command of `argv`, or replace it by one inside the virtual environment that can."""
    if sys.version_info < OLDEST:
        sys.exit(f"Vitrine needs Python 3.11 or newer; this is {sys.version.split()[0]}. On Debian 12: apt-get install python3")
    command = argv[1] if len(argv) > 1 else "help"
    if os.environ.get("VITRINE_PREPARED") == "1":
        return
    if command in ("up", "test") and not {"-h", "--help"} & set(argv):
        python = _environment("test" if command == "test" else "run")
        tools = dict(TOOLS, **TEST_TOOLS) if command == "test" else TOOLS
        _system_tools(tools)
    else:
        python = _existing_environment()
    os.environ["VITRINE_PREPARED"] = "1"
    if Path(python) != Path(sys.executable):
        os.execv(str(python), [str(python), *argv])


def run(*command: str) -> bool:
    """Run a command, echoed with `+`; true when it succeeded."""
    print("+ " + " ".join(command), flush=True)
    return subprocess.call(command, cwd=str(ROOT)) == 0


def in_virtual_environment() -> bool:
    return sys.prefix != sys.base_prefix


def _existing_environment() -> Path:
    if in_virtual_environment():
        return Path(sys.executable)
    python = VENV / "bin" / "python"
    if not python.exists():
        sys.exit("Nothing is installed yet. Run `python3 manage.py up` first.")
    return python


def _environment(kind: str) -> Path:
    """The interpreter that has the requirements of `kind` ("run" or "test") installed."""
    home = Path(sys.prefix) if in_virtual_environment() else VENV
    python = Path(sys.executable) if in_virtual_environment() else VENV / "bin" / "python"
    # What the tests need includes what a run needs.
    if any(_stamp(home, done).exists() and _stamp(home, done).read_text() == _digest(done) for done in (kind, "test")):
        return python
    if not in_virtual_environment() and not _has_pip(python):
        _make_environment(python)
    lock = str(REQUIREMENTS / f"{kind}.txt")
    if not run(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r", lock):
        sys.exit("The requirements could not be installed; the lines above say why. Run the same command again once that is mended.")
    _stamp(home, kind).write_text(_digest(kind))
    return python


def _stamp(home: Path, kind: str) -> Path:
    return home / f"vitrine-{kind}.sha256"


def _digest(kind: str) -> str:
    """Changes when the lock or the interpreter does."""
    return hashlib.sha256((REQUIREMENTS / f"{kind}.txt").read_bytes() + sys.version.encode()).hexdigest()


def _has_pip(python: Path) -> bool:
    """Whether the environment is whole: a folder half made by an interrupted run has a python but no pip."""
    return python.exists() and subprocess.call([str(python), "-c", "import pip"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0


def _make_environment(python: Path) -> None:
    shutil.rmtree(str(VENV), ignore_errors=True)
    package = "python{}.{}-venv".format(*sys.version_info[:2])
    try:
        import ensurepip  # noqa: F401
    except ImportError:
        if not _apt_install([package]):
            sys.exit(f"Python's venv module is incomplete here. Install it with:\n    sudo apt-get install {package}\nthen run this again.")
    run(sys.executable, "-m", "venv", str(VENV))
    if not _has_pip(python):
        sys.exit(f"A virtual environment could not be made. Install its parts with:\n    sudo apt-get install {package}")


def _system_tools(tools: dict[str, tuple[str, str]]) -> None:
    """Install the programs that are missing, or name the line that would and what stays switched off."""
    missing = {tool: why for tool, why in tools.items() if not _present(tool)}
    if not missing or _apt_install(sorted({package for package, _ in missing.values()})):
        return
    for tool, (package, feature) in missing.items():
        if not _present(tool):
            print(f"{tool} is missing: {feature} is switched off. To have it: sudo apt-get install {package}", flush=True)


def _present(tool: str) -> bool:
    if ".so" not in tool:
        return shutil.which(tool) is not None
    try:
        ctypes.CDLL(tool)
    except OSError:
        return False
    return True


def _apt_install(packages: list[str]) -> bool:
    if os.geteuid() != 0 or shutil.which("apt-get") is None or os.environ.get("VITRINE_NO_APT") == "1":
        return False
    os.environ["DEBIAN_FRONTEND"] = "noninteractive"
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
    lists = Path("/var/lib/apt/lists")
    fresh = any(time.time() - path.stat().st_mtime < 86400 for path in lists.glob("*_Packages*")) if lists.exists() else False
    return (fresh and run(*install)) or (run("apt-get", "update", "-qq") and run(*install))

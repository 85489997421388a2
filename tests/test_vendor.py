"""What others wrote is here exactly as they published it, with its licence."""

import base64
import hashlib
import json
from pathlib import Path

VENDOR = Path(__file__).resolve().parent.parent / "static" / "vendor"
LOCK = VENDOR / "vendor.lock.json"


def digest(path: Path) -> str:
    return "sha384-" + base64.b64encode(hashlib.sha384(path.read_bytes()).digest()).decode()


def test_every_vendored_file_is_the_one_in_the_lock():
    locked = {name: value for package in json.loads(LOCK.read_text()) for name, value in package["files"].items()}
    found = {str(path.relative_to(VENDOR)): digest(path) for path in VENDOR.rglob("*") if path.is_file() and path != LOCK}
    assert found == locked


def test_every_vendored_package_names_its_version_and_carries_its_licence():
    for package in json.loads(LOCK.read_text()):
        assert package["version"] and package["licence"]
        assert any("LICENSE" in name for name in package["files"]), package["name"]

"""The README's table of settings is the table of settings."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def variables(text: str) -> set[str]:
    return set(re.findall(r"VITRINE_[A-Z0-9_]+", text))


def test_every_variable_the_code_reads_stands_in_the_table_and_no_other():
    files = [path for folder in ("dashboard", "images") for path in (ROOT / folder).rglob("*.py")]
    read = set()
    for path in files:
        read |= set(re.findall(r"""(?:env\.\w+|environ\.get|getenv)\(\s*["'](VITRINE_[A-Z0-9_]+)""", path.read_text()))
    rows = [line.split("|")[1] for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("| `VITRINE_")]
    documented = {name for row in rows for name in variables(row)}
    assert documented == read - {"VITRINE_PREPARED", "VITRINE_SUPERVISED", "VITRINE_ANNOUNCE"}  # what one process tells its child

"""The shape of the tree: sizes, and what templates and pages may hold."""

import ast
import re
import statistics
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOP = {"manage.py", "pyproject.toml", "README.md", "dashboard", "images", "volumes", "sharing", "templates", "static", "tests"}
SOURCES = [path for folder in ("dashboard", "images") for path in sorted((ROOT / folder).rglob("*.py")) if "migrations" not in path.parts]
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))


def p90(sizes: list[int]) -> float:
    return statistics.quantiles(sizes, n=10)[-1]


def test_the_top_level_holds_only_what_was_agreed():
    found = {path.name for path in ROOT.iterdir() if not path.name.startswith(".") and path.name not in {"var", "__pycache__"}}
    assert found <= TOP


def test_files_stay_small():
    sizes = {path: path.read_text().count("\n") for path in SOURCES}
    assert {str(path): size for path, size in sizes.items() if size > 400} == {}
    assert p90(list(sizes.values())) <= 220


def test_functions_stay_small():
    sizes = {}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                sizes[f"{path.name}:{node.name}"] = (node.end_lineno or 0) - node.lineno + 1
    assert {name: size for name, size in sizes.items() if size > 60} == {}
    assert p90(list(sizes.values())) <= 25


def test_templates_hold_no_script_no_style_and_nothing_unescaped():
    for path in TEMPLATES:
        text = path.read_text()
        assert not re.search(r"<script(?![^>]*\bsrc=)[^>]*>(?!\s*</script>)", text.replace('type="application/json"', 'src="')), path
        assert not re.search(r"\sstyle=|\son[a-z]+=\"|<style|\|\s*safe\b|autoescape off", text), path


def test_every_template_that_is_named_exists():
    named = set()
    for path in [*SOURCES, *TEMPLATES]:
        named |= set(re.findall(r"""["']((?:images|jobs|identity|components|errors)/[\w/]+\.html)["']""", path.read_text()))
    assert {name for name in named if not (ROOT / "templates" / name).exists()} == set()


def test_scripts_never_write_markup_from_text():
    for path in sorted((ROOT / "static" / "js").glob("*.js")):
        assert not re.search(r"innerHTML|outerHTML\s*=|document\.write|insertAdjacentHTML|\beval\(", path.read_text()), path

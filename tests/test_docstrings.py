"""One dialect of docstrings: sections are indented by two, fields have texts of their own."""

import ast
import re
from pathlib import Path

import pytest

import kdtheory

ROOT = Path(kdtheory.__file__).parent
SECTION = re.compile(r"^( *)(?:Args|Raises|Returns|Yields):\n( *)\S", re.MULTILINE)


def docstrings(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node, clean=False)
            if text is not None:
                yield getattr(node, "name", path.stem), text


@pytest.mark.parametrize("room", sorted({path.parent for path in ROOT.rglob("*.py")}), ids=str)
def test_docstrings_are_of_one_dialect(room):
    for path in sorted(room.glob("*.py")):
        for name, text in docstrings(path):
            for outer, inner in SECTION.findall(text):
                assert len(inner) - len(outer) == 2, f"{path}: {name}"
            assert not re.search(r"^ *Examples?:$", text, re.MULTILINE), f"{path}: {name}"
            listed = re.search(r"^ *- `\w+`: ", text, re.MULTILINE)
            assert not listed or name == path.stem, f"{path}: {name}"

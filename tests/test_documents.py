"""The README's and the docs' commands and code do what they say, at small size."""

import re
import shlex
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from kdtheory.cli import main

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

#: Appended to the commands, so that they take seconds: later flags override earlier ones.
SMALL = {
    "demo": ["--smoke", "--seeds", "1"],
    "run": ["--train-size", "32", "--validation-size", "8", "--test-size", "16", "--epochs", "2",
            "--teacher", "mlp16x1", "--student", "mlp8x1", "--batch-size", "16", "--points", "2",
            "--ntk-size", "8", "--seeds", "1", "--teacher-checkpoints", "2", "--arms", "labels",
            "online", "--dataset", "synthetic", "--image-size", "None", "--task", "even_odd",
            "--no-augment"],
    "gram": ["--ntk-size", "12", "--model", "mlp8x1"],
    "study": ["--smoke", "--seeds", "1"],
    "sweep": ["--list"],  # tests/runs/test_sweep.py carries sweeps out
}  # fmt: skip


def blocks(path, language):
    return re.findall(rf"```{language}\n(.*?)```", path.read_text(), flags=re.DOTALL)


def commands(path):
    return [
        line
        for block in blocks(path, "sh")
        for line in block.splitlines()
        if line.startswith("kdtheory ")
    ]


def every(*, slow: Collection[str]) -> list[Any]:
    """Return the documents as parameters, those that take long marked so."""
    marks = dict.fromkeys(slow, pytest.mark.slow)
    return [pytest.param(path, marks=marks.get(path.name, ()), id=path.name) for path in DOCUMENTS]


@pytest.mark.parametrize("path", every(slow=["advise.md", "cli.md", "first_table.md"]))
def test_commands(path, tmp_path, monkeypatch):
    """In the order in which they stand, in one folder, with the files that the page shows."""
    monkeypatch.chdir(tmp_path)
    for block in blocks(path, "toml"):
        (tmp_path / block.splitlines()[0].removeprefix("# ")).write_text(block)
    for command in commands(path):
        words = shlex.split(command, comments=True)[1:]
        main([*words, *SMALL.get(words[0], [])])


@pytest.mark.parametrize(
    "path",
    every(
        slow=[
            "approximations.md", "datasets.md", "extending.md", "kernels.md", "python.md",
            "reading_the_table.md",
        ]
    ),
)  # fmt: skip
@pytest.mark.usefixtures("forget")
def test_python(path, tmp_path, monkeypatch):
    """The blocks of a page are one program."""
    monkeypatch.chdir(tmp_path)
    code = "\n".join(blocks(path, "python"))
    exec(compile(code, str(path), "exec"), {"__name__": "page"})


def test_there_is_something_to_run():
    assert sum(len(commands(path)) for path in DOCUMENTS) >= 6


def test_every_column_of_the_table_is_explained():
    page = (ROOT / "docs" / "reading_the_table.md").read_text()
    header = (ROOT / "docs" / "demo" / "table.md").read_text().splitlines()[0]
    assert header in page
    for column in header.strip("| ").split(" | "):
        assert f"**{column.removesuffix(' (%)')}**" in page, column

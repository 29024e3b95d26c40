"""The site: navigation has every page, links lead somewhere, it builds without a warning."""

import os
import re
import subprocess
import sys
import urllib.parse
from pathlib import Path

import pytest

import kdtheory

ROOT = Path(__file__).parent.parent
HOME = ROOT / "docs" / "index.md"
TOCTREE = re.compile(r"```\{toctree\}\n(.*?)```", re.DOTALL)
PAGES = sorted((ROOT / "docs").rglob("*.md"))
SUFFIXES = (".md", ".rst", ".ipynb")


def entries(page):
    """Pages that stand in the navigation under one."""
    if page.suffix != ".md":
        return
    for block in TOCTREE.findall(page.read_text()):
        for line in filter(None, map(str.strip, block.splitlines())):
            if line.startswith(":"):
                continue
            name = re.sub(r"^.*<(.*)>$", r"\1", line)
            if "*" in name:
                yield from (path for path in page.parent.glob(f"{name}.md") if path != page)
                continue
            found = [
                path for suffix in SUFFIXES if (path := page.parent / f"{name}{suffix}").exists()
            ]
            assert len(found) == 1, f"{page}: {line}"
            yield found[0].resolve()


def reached():
    found, waiting = set(), [HOME]
    while waiting:
        page = waiting.pop()
        if page not in found:
            found.add(page)
            waiting += entries(page)
    return found


def anchors(page):
    """The headings of a Markdown page as links name them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        yield re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def test_navigation_lists_every_page():
    notebooks = (ROOT / "notebooks").glob("*.ipynb")
    api = (ROOT / "docs" / "api").glob("*.rst")
    assert {*PAGES, *notebooks, *api} <= reached()


def test_every_package_has_its_api():
    pages = {path.stem for path in (ROOT / "docs" / "api").glob("*.rst")}
    assert pages == set(kdtheory._SUBPACKAGES)


@pytest.mark.parametrize(
    "page", [*ROOT.glob("*.md"), *PAGES], ids=lambda page: str(page.relative_to(ROOT))
)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        target, _, anchor = urllib.parse.unquote(link).partition("#")
        if "://" in target:
            continue
        path = page.parent / target if target else page
        assert path.exists(), link
        if anchor and path.suffix == ".md":
            assert anchor in anchors(path), link


@pytest.mark.slow
def test_builds_without_a_warning(tmp_path):
    """Without executing the notebooks, which tests/notebooks does."""
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-c", "docs/site",
         "-d", tmp_path / "doctrees", ".", tmp_path / "site"],
        cwd=ROOT, env=os.environ | {"KDTHEORY_DOCS_NOTEBOOKS": "off", "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "supervision_complexity" in (tmp_path / "site/docs/api/measure.html").read_text()
    assert "docs/index.html" in (tmp_path / "site/index.html").read_text()

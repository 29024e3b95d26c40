"""The site of `make docs`: pages of docs/, notebooks, and the docstrings of what is exported.

The repository is the source folder, so that the links of a page mean on the site what they mean in
the repository. Warnings are errors.
"""

import dataclasses
import importlib
import os
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import kdtheory

ROOT = Path(__file__).parents[2]

project = "kdtheory"
author = "The kdtheory contributors"
copyright = author
version = release = kdtheory.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]
root_doc = "docs/index"
include_patterns = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "docs/*.md",
    "docs/**/*.md",
    "docs/api/*.rst",
    "notebooks/*.ipynb",
    "benchmarks/README.md",
    "experiments/results/**/*.md",
]
exclude_patterns = [".*", "build", "dist", "runs", "kdtheory", "tests"]  # not looked into
# A line of the README's table, with links from there.
exclude_patterns += ["experiments/results/*/finding.md"]
# What a page of the site shows and nothing leads to is reached from the page that mentions it.
suppress_warnings = ["toc.not_included", "myst.header"]

myst_heading_anchors = 4
myst_enable_extensions = ["dollarmath"]
smartquotes = False  # "float32" is to be typed as it stands
highlight_language = "text"  # of indented formulas

# Where the notebooks are not executed, their pages have no figures.
nb_execution_mode = "off" if os.environ.get("KDTHEORY_DOCS_NOTEBOOKS") == "off" else "cache"
nb_execution_cache_path = str(ROOT / "build" / "notebooks")
nb_execution_timeout = 1800  # a cell takes seconds; not so on a machine that others use too
nb_execution_raise_on_error = True
nb_merge_streams = True

default_role = "code"  # `name` in a docstring
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
napoleon_numpy_docstring = False
napoleon_use_ivar = True

html_theme = "pydata_sphinx_theme"
html_title = "kdtheory"
html_extra_path = ["root"]
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
templates_path = ["templates"]
html_sidebars = {"**": ["navigation.html"]}
html_theme_options = {
    "navbar_center": [],
    "navigation_with_keys": False,
    "show_toc_level": 1,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}


def read_as_prose(app: Any, what: str, name: str, of: Any, options: Any, lines: list[str]) -> None:
    """Keep napoleon from taking what stands before a colon for a type: ours are in signatures."""
    if what in ("property", "attribute", "data"):
        lines.insert(0, "\\")  # nothing, in reStructuredText
    for i in reversed(range(len(lines) - 1)):
        if lines[i].strip() in ("Returns:", "Yields:"):
            indent = lines[i + 1][: len(lines[i + 1]) - len(lines[i + 1].lstrip())]
            lines.insert(i + 1, indent + "\\")


def skip(app: Any, what: str, name: str, of: Any, skipped: bool, options: Any) -> bool | None:
    """Leave out the fields of a NamedTuple that have no text: its signature names them."""
    return True if str(getattr(of, "__doc__", "")).startswith("Alias for field number") else None


def without_flags(app: Any) -> None:
    """Take tyro's settings of a flag out of the annotations that signatures show."""
    for package in kdtheory._SUBPACKAGES:
        for of in vars(importlib.import_module(f"kdtheory.{package}")).values():
            if dataclasses.is_dataclass(of):
                for annotations in (of.__annotations__, of.__init__.__annotations__):
                    for name, hint in annotations.items():
                        if get_origin(hint) is Annotated:
                            annotations[name] = get_args(hint)[0]


def setup(app: Any) -> None:
    """Sphinx calls this."""
    app.connect("builder-inited", without_flags)
    app.connect("autodoc-skip-member", skip)
    app.connect("autodoc-process-docstring", read_as_prose, priority=400)  # napoleon: 500

"""Data flows one way: no module imports what stands to its right, and no two import each other."""

import ast
from pathlib import Path

import pytest

import kdtheory

ROOT = Path(kdtheory.__file__).parent

#: The rooms from left to right; those of one row do not import each other, but for the ground,
#: whose files may as long as there is no circle.
ORDER = (
    (
        "errors",
        "typing",
        "arguments",
        "files",
        "digests",
        "file_digests",
        "archives",
        "array_files",
        "plain_text",
        "arms",
        "rows",
        "row_values",
        "thread_settings",
        "memory",
        "settings",
        "palette",
    ),
    ("datasets", "models"),
    ("targets",),
    ("training",),
    ("ntk",),
    ("complexity",),
    ("analysis",),
    ("measure",),
    ("bounds",),
    ("claims", "methods"),
    ("testing",),
    ("statistics",),
    ("report",),
    ("recording",),
    ("runs",),
    ("studies",),
    ("commands",),
    ("cli",),
    ("__main__",),
)

#: Imports that stand against the order and are to go: (module, room). This may only shrink.
REMAINING: frozenset[tuple[str, str]] = frozenset()


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(ROOT.rglob("*.py"))}
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}


def imports_of(module: str) -> set[str]:
    """Modules of the package that one imports anywhere, inside of functions too."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: a relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if inner in MODULES else str(node.module))
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(MODULES[module].read_text("utf-8")))
    # The package itself is above all rooms: it names its version and imports nothing by itself.
    return {name for name in found if name in MODULES and name != "kdtheory"}


def room_of(module: str) -> str:
    return module.split(".")[1]


def against_the_order() -> set[tuple[str, str]]:
    ground = set(ORDER[0])
    return {
        (module, room_of(imported))
        for module in MODULES
        if module != "kdtheory"
        for imported in imports_of(module)
        if room_of(imported) != room_of(module)
        and not {room_of(imported), room_of(module)} <= ground
        and RANK[room_of(imported)] >= RANK[room_of(module)]
    }


def test_every_room_has_its_place():
    assert {room_of(module) for module in MODULES if module != "kdtheory"} <= set(RANK)


def test_nothing_imports_what_stands_to_its_right():
    found = against_the_order()
    assert sorted(found - REMAINING) == []
    assert sorted(REMAINING - found) == [], "mended: take it off the list"


def test_there_is_no_import_circle():
    """Among modules, wherever they import; a package stands for the names that it lists."""
    needs = {module: imports_of(module) for module in MODULES}
    done: set[str] = set()

    def walk(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, "circle: " + " -> ".join((*path[path.index(module) :], module))
        if module not in done:
            for needed in sorted(needs[module]):
                walk(needed, (*path, module))
            done.add(module)

    for module in sorted(MODULES):
        walk(module, ())


@pytest.mark.parametrize(
    ("module", "line", "seen"),
    [
        ("kdtheory.ntk.gram", "from kdtheory.runs import config", {"kdtheory.runs.config"}),
        ("kdtheory.ntk.gram", "import kdtheory.report.page", {"kdtheory.report.page"}),
        ("kdtheory.ntk.gram", "def f():\n  from kdtheory import cli", {"kdtheory.cli"}),
        ("kdtheory.ntk.gram", "if TYPE_CHECKING:\n  import kdtheory.cli", set()),
    ],
)
def test_imports_are_seen_wherever_they_stand(tmp_path, monkeypatch, module, line, seen):
    path = tmp_path / "module.py"
    path.write_text(line)
    monkeypatch.setitem(MODULES, module, path)
    assert imports_of(module) == seen

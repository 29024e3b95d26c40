"""Bring the documents up to date from results: the one script that writes numbers into pages.

    python docs/update.py demo [runs/demo]      table and figures, here and in the README
    python docs/update.py study NAME [FOLDER]   results and page of a finished study, the README
    python docs/update.py findings              the README's and the whole table of findings
    python docs/update.py tables                the tables of bounds.md and advise.md, the index

A study's small results go from runs/studies/NAME (or FOLDER) into experiments/results/NAME: tables
(md, csv), figures (png), summary.md, config.json and provenance.json; report.html and svg figures
where small. What follows the line `<!-- results -->` in docs/studies/NAME.md is replaced.
"""

import json
import re
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kdtheory.errors import InputError, KdtheoryError
from kdtheory.files import write_whole
from kdtheory.statistics.findings import RULE
from kdtheory.studies import STUDIES, find_study
from kdtheory.studies.study import Expectation

ROOT = Path(__file__).parent.parent
MARK = "<!-- results -->"
ALWAYS = ("*.md", "*.csv", "*.png", "findings.json", "config.json", "provenance.json")
IF_SMALL = ("*.svg", "report.html")
SMALL = 200_000  # bytes
#: Why nothing counts of results that were made before settings were checked.
UNCHECKED = "made before the health of settings was checked"
OF_DEMO = ("table.md", "complexity.png", "accuracy.png", "config.json", "provenance.json")
#: The README shows these of the demo's table.
README_COLUMNS = ("arm", "adjusted complexity", "margin", "test fidelity (%)", "test accuracy (%)")
#: Experiments by the page that shows their table.
OF_PAGES = {
    "bounds.md": ("bound_tightness", "interval_coverage", "certified_cifar100", "certificates"),
    "advise.md": ("advise",),
}
#: Experiments that write their line of the tables of findings themselves, into finding.md.
OF_README = ("certificates", "advise")


def between_marks(page: Path, name: str, text: str) -> None:
    """Replace what stands in a page between `<!-- NAME: begin ... -->` and `<!-- NAME: end -->`.

    Raises:
      InputError: the page does not hold exactly one pair of these marks.
    """
    changed, count = re.subn(
        rf"(<!-- {name}: begin[^>]*-->\n).*?(<!-- {name}: end -->)",
        lambda match: f"{match[1]}{text.rstrip()}\n{match[2]}",
        page.read_text(encoding="utf-8"),
        flags=re.DOTALL,
    )
    if count != 1:
        raise InputError(f"{page} needs one pair of marks for {name}, has {count}")
    write_whole(page, changed)


def demo(run: Path, root: Path = ROOT) -> None:
    """Copy a finished demo's files into docs/demo, and its table into the README."""
    for name in OF_DEMO:
        shutil.copy(run / name, root / "docs" / "demo" / name)
    lines = (run / "table.md").read_text(encoding="utf-8").splitlines()
    title, small = small_table([line for line in lines if line.startswith("|")])
    between_marks(
        root / "README.md",
        "demo",
        f"{small}\n\n{title}; mean and standard deviation over seeds. The whole table, the second "
        "task, and what the rows say about the theory: "
        "[docs/demo/table.md](docs/demo/table.md).\n\n"
        "![Adjusted complexity of each supervision along training](docs/demo/complexity.png)",
    )


def small_table(lines: list[str]) -> tuple[str, str]:
    """Return the title of a run's table in Markdown, and its first run's arms with five columns."""
    header, _, *rows = ([cell.strip() for cell in line.strip("|").split(" | ")] for line in lines)
    records = [dict(zip(header, row, strict=True)) for row in rows]
    title = records[0]["run"]
    shown = [record for record in records if record["run"] == title]
    shown = [record for record in shown if not record["arm"].startswith("teacher (")]
    table = [
        "| " + " | ".join(README_COLUMNS) + " |",
        "|:---|" + "---:|" * (len(README_COLUMNS) - 1),
        *("| " + " | ".join(record[name] for name in README_COLUMNS) + " |" for record in shown),
    ]
    return title, "\n".join(table)


def tables(root: Path = ROOT) -> None:
    """Put the tables of experiments into their pages, and the studies into their index."""
    for page, names in OF_PAGES.items():
        for name in names:
            table = root / "experiments" / "results" / name / "table.md"
            # An experiment that was not run yet leaves its page as it is.
            if table.is_file():
                between_marks(root / "docs" / page, name, table.read_text(encoding="utf-8"))
    update_index(root)


def publish(name: str, run: Path, root: Path = ROOT) -> list[Path]:
    """Copy a study's results and rewrite its page.

    Args:
      name: of the study.
      run: its folder.
      root: of the repository.

    Returns:
      The files copied.

    Raises:
      InputError: no such study, the folder holds no finished run of it, or only a smoke run, or the
        page has no line for the results.
    """
    find_study(name)
    config, summary = run / "config.json", run / "summary.md"
    if not (config.is_file() and summary.is_file()):
        raise InputError(f"{run} holds no finished study (no config.json and summary.md)")
    settings = json.loads(config.read_text(encoding="utf-8"))
    if settings.get("study") != name:
        raise InputError(f"{run} holds the study {settings.get('study')!r}, not {name!r}")
    if settings["size"] == "smoke":
        raise InputError(f"{run} is a smoke run: its numbers mean nothing")
    page = root / "docs" / "studies" / f"{name}.md"
    if not page.is_file() or MARK not in page.read_text(encoding="utf-8"):
        raise InputError(f"{page} must exist and hold the line {MARK}")

    results = root / "experiments" / "results" / name
    results.mkdir(parents=True, exist_ok=True)
    # A table or figure that the study no longer makes must not stay beside the new ones.
    for pattern in (*ALWAYS, *IF_SMALL):
        for path in results.glob(pattern):
            path.unlink()
    chosen = [path for pattern in ALWAYS for path in sorted(run.glob(pattern))]
    chosen += [
        path
        for pattern in IF_SMALL
        for path in sorted(run.glob(pattern))
        if path.stat().st_size <= SMALL
    ]
    copied = [Path(shutil.copy(path, results / path.name)) for path in chosen]

    seen = what_was_seen(summary.read_text(encoding="utf-8"), name, settings)
    before = page.read_text(encoding="utf-8").split(MARK)[0]
    write_whole(page, f"{before}{MARK}\n{seen}")
    return copied


def what_was_seen(summary: str, name: str, settings: dict) -> str:
    """Return verdicts, main table and first figure of a summary, its links led to the results."""
    folder = f"../../experiments/results/{name}"
    size = "" if settings["size"] == "small" else f" --{settings['size']}"
    seeds = sorted({case["seeds"] for case in settings["cases"].values()})
    counted = " to ".join(map(str, seeds[:1] + seeds[1:][-1:]))
    intro = (
        f"Made by `kdtheory study {name}{size}`, {counted} seeds; all tables and figures, with "
        f"configuration and provenance, lie in [experiments/results/{name}]({folder}/summary.md)."
    )
    blocks = [block.strip("\n") for block in re.split(r"\n{2,}", summary)]
    rule = blocks.index(RULE)
    first = next(i for i, block in enumerate(blocks) if block.startswith("**Expected.**")) + 1
    table = blocks[rule + 1 : rule + 3]  # and its caption
    figures = [i for i, block in enumerate(blocks) if block.startswith("![")]
    # With its caption under it; as the link's text too, the caption would be there twice.
    figure = blocks[figures[0] : figures[0] + 2] if figures else []
    figure = [re.sub(r"^!\[.*\]\((.+?)\)$", rf"![{name}]({folder}/\1)", block) for block in figure]
    return "\n\n".join([intro, *blocks[first : rule + 1], *table, *figure]) + "\n"


def index() -> str:
    """Return the lines of the studies' table, in the catalogue's order."""
    return "\n".join(
        f"| [{study.name}]({study.name}.md) | {study.question} | `kdtheory study {study.name}` |"
        for study in STUDIES.values()
    )


def update_index(root: Path = ROOT) -> None:
    """Rewrite the table of docs/studies/README.md."""
    path = root / "docs" / "studies" / "README.md"
    head = path.read_text(encoding="utf-8").split("|---|---|---|")[0]
    write_whole(path, f"{head}|---|---|---|\n{index()}\n")


def findings(root: Path = ROOT) -> None:
    """Put what stored findings say of each expectation into the studies' page.

    The README has those of them that it is about.
    """
    lines, short = [], []
    for study in STUDIES.values():
        folder = root / "experiments" / "results" / study.name
        found = stored_findings(folder) if folder.is_dir() else []
        for expected in study.expectations or [Expectation(study.expected)]:
            about = [one for one in found if is_about(one["hypothesis"], expected)]
            lines.append(
                f"| {study.name} | {expected.words} | {seen(about)} | "
                f"[page](docs/studies/{study.name}.md) |"
            )
            if expected.in_readme:
                short.append(lines[-1])
    for name in OF_README:
        line = root / "experiments" / "results" / name / "finding.md"
        if line.is_file():
            lines.append(line.read_text(encoding="utf-8").rstrip())
            short.append(lines[-1])
    head = ["| study | expected | seen | evidence |", "|:---|:---|:---|:---|"]
    between_marks(root / "README.md", "findings", "\n".join(head + short))
    whole = "\n".join(head + lines)
    whole = whole.replace("](docs/studies/", "](").replace("](docs/", "](../")
    between_marks(root / "docs" / "studies" / "README.md", "findings", whole)


def stored_findings(folder: Path) -> list[dict[str, Any]]:
    """Return a study's findings; of results from before settings were checked, all are open."""
    path = folder / "findings.json"
    if path.is_file():
        return json.loads(path.read_text(encoding="utf-8"))["findings"]
    summary = (folder / "summary.md").read_text(encoding="utf-8")
    line = r"^- \*\*(\w[\w ]*?)( \(by construction\))?\*\*: (.*)$"
    return [
        {
            "hypothesis": match[3],
            "verdict": match[1],
            "by_construction": bool(match[2]),
            "open": UNCHECKED,
            "corrected": None,
        }
        for match in re.finditer(line, summary, re.MULTILINE)
    ]


def is_about(hypothesis: str, expected: Expectation) -> bool:
    """Return whether a finding is about what is expected."""
    return not expected.about or any(part in hypothesis for part in expected.about)


def seen(about: Sequence[dict[str, Any]]) -> str:
    """Return by rule what findings say: how many of each verdict, and their effects in points."""
    kept = [one for one in about if not one["by_construction"]]
    if not kept:
        return "not run"
    counted, shut = ([one for one in kept if bool(one["open"]) == is_open] for is_open in (0, 1))
    parts = []
    if counted:
        parts.append(f"of {len(counted)}: {verdicts(counted)}")
        holm = [one for one in counted if one["corrected"] not in (None, one["verdict"])]
        parts += [f"after Holm's correction {len(holm)} of these undecided"] * bool(holm)
        points = [o["scale"] * o["effect"] for o in counted if o["unit"].strip() == "points"]
        if points:
            ends = dict.fromkeys(f"{end:+.1f}" for end in (min(points), max(points)))
            parts.append(f"means {' to '.join(ends)} points")
    if shut:
        why, _ = Counter(one["open"] for one in shut).most_common(1)[0]
        held = "" if counted else f"; the plain verdicts are {verdicts(shut)}"
        parts.append(f"*open*: {len(shut)} ({why}){held}")
    return "; ".join(parts)


def verdicts(found: Sequence[dict[str, Any]]) -> str:
    """Return how many of each verdict there are."""
    counts = Counter(one["verdict"] for one in found)
    names = ("seen", "not seen", "undecided")
    return ", ".join(f"{counts[name]} {name}" for name in names if counts[name])


def main(what: str = "", *rest: str) -> None:
    """Do what the command line asks for."""
    if what == "demo" and len(rest) <= 1:
        demo(Path(rest[0]) if rest else ROOT / "runs" / "demo")
    elif what == "tables" and not rest:
        tables()
    elif what == "findings" and not rest:
        findings()
    elif what == "study" and len(rest) in (1, 2):
        folder = Path(rest[1]) if rest[1:] else ROOT / "runs" / "studies" / rest[0]
        for path in publish(rest[0], folder):
            print(path.relative_to(ROOT))
        update_index()
        findings()
    else:
        allowed = "demo [FOLDER], study NAME [FOLDER], findings, tables"
        raise InputError(f"allowed: {allowed}; got {what!r}")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (KdtheoryError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None

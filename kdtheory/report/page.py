"""Every HTML page that kdtheory writes: one file that refers to nothing outside it."""

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kdtheory.files import json_text
from kdtheory.plain_text import in_html
from kdtheory.report.figures import render
from kdtheory.report.great import great
from kdtheory.report.results import CaptionedFigure, Results
from kdtheory.report.table import Table
from kdtheory.statistics.findings import (
    RULE,
    Finding,
    by_group,
    marked_verdict,
    told_evidence,
    verdict_line,
)

if TYPE_CHECKING:
    import matplotlib.figure

_STYLE = """
:root { color-scheme: light dark; --page: #fff; --ink: #1c1c1e; --soft: #5b5b62; --line: #d4d4da;
  --panel: #f5f5f7; --good: #006b4e; --bad: #b03a00; --open: #6b5900;
  --link: #0b57a4; }
@media (prefers-color-scheme: dark) { :root { --page: #17181b; --ink: #ececf0; --soft: #a9a9b3;
  --line: #3d3e45; --panel: #212227; --good: #4fd3a5; --bad: #ff9a5c; --open: #e8d36a;
  --link: #8ab8ff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 78rem; padding: 2rem 1.25rem 4rem; background: var(--page);
  color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", sans-serif; }
h1 { font-size: 1.8rem; line-height: 1.2; margin: 0 0 .6rem; }
h2 { font-size: 1.3rem; margin: 2.6rem 0 .7rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.6rem 0 .4rem; }
p, dd, li { max-width: 50rem; overflow-wrap: anywhere; }
a { color: var(--link); }
.soft, figcaption { color: var(--soft); font-size: .92rem; }
.verdict { background: var(--panel); border-left: 4px solid var(--line); padding: .7rem 1rem;
  max-width: 52rem; }
.verdict p { margin: 0 0 .5rem; } .verdict p:last-child { margin: 0; }
figure { margin: 1rem 0 2rem; }
figure img { width: 100%; height: auto; background: #fff; border-radius: 6px;
  border: 1px solid var(--line); }
/* On a narrow screen a figure scrolls rather than shrinks until nobody can read it. */
figure { overflow-x: auto; } figure img { min-width: 44rem; }
@media (prefers-color-scheme: dark) { figure img { border-color: #d4d4da;
  filter: invert(.9) hue-rotate(180deg) brightness(1.35); } }
@media (max-width: 40rem) { figure.both img { min-width: 0; } }
.caution { color: var(--bad); font-weight: 600; }
.wide { overflow-x: auto; }
.wide table.gt_table td, .wide table.gt_table th { padding-left: 5px !important;
  padding-right: 5px !important; }
.wide table.gt_table, .wide table.gt_table * { background-color: transparent !important;
  color: inherit !important; border-color: var(--line) !important; }
/* The names stay while the columns scroll. */
.wide table.gt_table tbody td:first-child, .wide table.gt_table thead th:first-child {
  position: sticky; left: 0; background-color: var(--page) !important; }
.wide table.gt_table { font-family: inherit !important; font-size: .8rem !important;
  margin-left: 0 !important; }
table.findings { border-collapse: collapse; font-size: .92rem; }
table.findings th, table.findings td { text-align: left; vertical-align: top;
  padding: .35rem .9rem .35rem 0; border-bottom: 1px solid var(--line); }
td.seen, td.not, td.undecided { font-weight: 600; white-space: nowrap; }
td.seen { color: var(--good); } td.not { color: var(--bad); } td.undecided { color: var(--open); }
dt { font-weight: 600; margin-top: .9rem; } dd { margin: .15rem 0 0; }
details { margin: .8rem 0; } summary { cursor: pointer; font-weight: 600; }
pre { background: var(--panel); padding: .8rem 1rem; overflow-x: auto; font-size: .85rem;
  border-radius: 6px; }
"""


def page(title: str, parts: Sequence[str], *, style: str = "", head: str = "") -> str:
    """Return a whole page from the parts of its body, with what it has of style and head."""
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"{head}<title>{in_html(title)}</title>\n<style>{_STYLE}{style}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def report_page(
    results: Results,
    *,
    title: str,
    config: Mapping[str, Any],
    provenance: Mapping[str, Any],
    opening: Sequence[str] = (),
    about: Sequence[str] = (),
    guide: Sequence[tuple[str, str]] = (),
) -> str:
    """Return the page that holds everything; it refers to nothing outside itself.

    First the lines that answer its question and the first figure, then tables, then verdicts.

    Args:
      results: what is shown.
      title: heading.
      config: settings, as they would be written to JSON.
      provenance: versions, machine, times: whatever was recorded.
      opening: paragraphs of HTML that are read before anything else.
      about: paragraphs of HTML that say what the page is about.
      guide: (thing, what it is), for a newcomer.
    """
    shown = [results.health] if results.health is not None else []
    notes = [*results.notes, *(note for table in results.tables for note in table.notes)]
    items = "".join(f"<li>{in_html(note)}</li>" for note in notes)
    lines = results.answer or [verdict_line(results.findings)]
    answer = "".join(f"<p>{in_html(line)}</p>" for line in lines)
    first, others = results.figures[:1], results.figures[1:]
    caution = [f'<p class="caution">{in_html(results.caution)}</p>'] if results.caution else []
    parts = [
        f"<h1>{in_html(title)}</h1>",
        *(f"<p>{paragraph}</p>" for paragraph in opening),
        *caution,
        f'<div class="verdict">{answer}</div>',
        *map(_figure, first),
        *(part for table in shown for part in ("<h2>The setting's health</h2>", _table(table))),
        f"<h2>Table{'s' * (len(results.tables) > 1)}</h2>",
        *map(_table, results.tables),
        "<h2>What the rows say about the theory</h2>",
        _findings_table(results.findings),
        *([f"<h2>Notes</h2><ul>{items}</ul>"] if notes else []),
        *(["<h2>More figures</h2>", *map(_figure, others)] if others else []),
    ]
    if guide or about:
        entries = "".join(
            f"<dt>{in_html(name)}</dt><dd>{in_html(text)}</dd>" for name, text in guide
        )
        paragraphs = "".join(f"<p>{paragraph}</p>" for paragraph in about)
        parts.append(f"<h2>How to read the table</h2>{paragraphs}<dl>{entries}</dl>")
    parts += [
        "<h2>How it was made</h2>",
        _details("Configuration", config),
        _details("Provenance", provenance),
    ]
    return page(title, parts)


def _table(table: Table) -> str:
    shown = great(table, alone=False).as_raw_html()
    caption = in_html(table.caption)
    return f'<div class="wide">{shown}</div><p class="soft">{caption}</p>'


def _figure(figure: CaptionedFigure) -> str:
    """Return a figure as an element that carries its image, or a line that says why it is not."""
    if isinstance(figure.figure, str):
        return f"<p>No figure: {in_html(figure.figure)}.</p>"
    caption = in_html(figure.caption)
    image = f'<img alt="{caption}" src="{_embedded(figure.figure)}">'
    if figure.narrow is None:
        return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"
    # A phone is shown the one that was drawn for a column.
    source = f'<source media="(max-width: 40rem)" srcset="{_embedded(figure.narrow)}">'
    return (
        f'<figure class="both"><picture>{source}{image}</picture>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _embedded(figure: "matplotlib.figure.Figure") -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(render(figure, "svg")).decode()


def _findings_table(found: Sequence[Finding]) -> str:
    """Return findings as a table with the rule under it, under a heading for each run group."""
    if not found:
        return f"<p>{in_html(verdict_line(found))}</p>"
    groups = by_group(found)
    lines = []
    for title, members in groups.items():
        if len(groups) > 1 and title:
            lines.append(f'<tr><th colspan="3">{in_html(title)}</th></tr>')
        lines += [
            f'<tr><td class="{_class(each)}">{marked_verdict(each)}</td>'
            f"<td>{in_html(each.hypothesis)}</td><td>{in_html(told_evidence(each))}</td></tr>"
            for each in members
        ]
    return (
        '<div class="wide"><table class="findings">'
        "<tr><th>Verdict</th><th>Hypothesis</th><th>Evidence</th></tr>"
        f'{"".join(lines)}</table></div><p class="soft">{in_html(RULE)}</p>'
    )


def _class(each: Finding) -> str:
    return "undecided" if each.open else each.verdict.split()[0]


def _details(title: str, content: Mapping[str, Any]) -> str:
    """Return a collapsed block of JSON."""
    # Provenance may hold paths and dates: shown as text.
    text = json_text(dict(content), indent=2, default=str, ensure_ascii=False)
    shown = "\n".join(map(in_html, text.splitlines()))
    return f"<details><summary>{in_html(title)}</summary><pre>{shown}</pre></details>"

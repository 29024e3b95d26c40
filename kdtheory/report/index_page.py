"""One page of many runs: a line a run, with its state, figures and links; sorted by a click."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kdtheory.plain_text import in_html
from kdtheory.report.columns import with_spread
from kdtheory.report.page import page
from kdtheory.report.table import MISSING
from kdtheory.statistics.comparison import Value, in_words
from kdtheory.statistics.seeds import FAILED, MeanSd

#: By which a page of ours is known again: no other file of its name is written over.
GENERATOR = '<meta name="generator" content="kdtheory report">'

# Cells with data-sort hold numbers; those without a value stay last, whichever way.
_SCRIPT = """
for (const button of document.querySelectorAll("th button")) button.onclick = () => {
  const head = button.parentElement, up = head.ariaSort !== "ascending";
  const key = row => row.cells[head.cellIndex].dataset.sort ?? "";
  const order = (a, b) => a === b ? 0 : a === "" ? 1 : b === "" ? -1 : (up ? 1 : -1) *
    (isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b);
  for (const other of head.parentElement.cells) other.ariaSort = null;
  head.ariaSort = up ? "ascending" : "descending";
  const body = document.querySelector("tbody");
  body.append(...[...body.rows].sort((a, b) => order(key(a), key(b))));
};
"""

_STYLE = """
body { max-width: 110rem; }
table.index { border-collapse: collapse; font-size: .86rem; }
table.index th, table.index td { text-align: left; vertical-align: top; white-space: nowrap;
  padding: .4rem .8rem .4rem 0; border-bottom: 1px solid var(--line); }
table.index td.number { text-align: right; font-variant-numeric: tabular-nums; }
table.index td:first-child, table.index th:first-child { position: sticky; left: 0;
  background: var(--page); }
table.index td.run, table.index td.state { white-space: normal; overflow-wrap: anywhere;
  min-width: 6rem; max-width: 15rem; }
table.index td.state.failed { min-width: 11rem; }
table.index td.failed { color: var(--bad); font-weight: 600; }
th button { all: unset; cursor: pointer; font-weight: 600; }
th button:focus-visible { outline: 2px solid; }
th button::after { content: " \\2195"; color: var(--soft); }
th[aria-sort="ascending"] button::after { content: " \\2191"; color: inherit; }
th[aria-sort="descending"] button::after { content: " \\2193"; color: inherit; }
td.figures a { display: inline-block; } td.figures img { height: 4.6rem; width: auto;
  background: #fff; border: 1px solid var(--line); border-radius: 4px; vertical-align: top; }
@media (prefers-color-scheme: dark) { td.figures img { border-color: #d4d4da;
  filter: invert(.9) hue-rotate(180deg) brightness(1.35); } }
@media (max-width: 40rem) { table.index td.run { max-width: 7.5rem; } }
"""


@dataclass(frozen=True, kw_only=True)
class IndexLine:
    """What the page says of a run. Links are relative and quoted, as `urllib.parse.quote` does."""

    name: str
    state: str
    """Either "complete", or what keeps the run from being so."""
    settings: Mapping[str, Value] = field(default_factory=dict)
    """By the column's header; a column that a run does not have is empty there."""
    changed: str = ""
    """When, as a text that sorts."""
    accuracies: Mapping[str, tuple[MeanSd, bool]] = field(default_factory=dict)
    """By arm: test accuracy as a fraction, and whether one of its networks failed."""
    link: str | None = None
    """To the run's own report."""
    figures: Sequence[tuple[str, str]] = ()
    """(what it shows, link)."""


def index_page(
    title: str,
    lines: Sequence[IndexLine],
    *,
    pages: Sequence[tuple[str, str]] = (),
    notes: Sequence[str] = (),
) -> str:
    """Return the page: it needs no network and no server, and its only script sorts the lines.

    Args:
      title: heading.
      lines: of the runs, in the order in which they first stand.
      pages: (name, link) of reports that several runs have together.
      notes: what a reader should know.
    """
    settings = list(dict.fromkeys(name for line in lines for name in line.settings))
    arms = list(dict.fromkeys(arm for line in lines for arm in line.accuracies))
    arms.sort(key=lambda arm: arm != "teacher")
    headers = ["run", "state", *(f"{arm} %" for arm in arms), "figures", *settings, "changed"]
    head = "".join(
        f"<th>{header}</th>"
        if header == "figures"
        else f"<th><button>{in_html(header)}</button></th>"
        for header in headers
    )
    body = "\n".join(_line(line, settings, arms) for line in lines)
    complete = sum(line.state == "complete" for line in lines)
    links = ", ".join(f'<a href="{in_html(link)}">{in_html(name)}</a>' for name, link in pages)
    caption = (
        "Under an arm’s name: its students’ test accuracy after the last epoch, mean ± sample"
        f" standard deviation over seeds; {FAILED} one of them ended at chance, or its loss never"
        " fell. A click on a heading sorts. Settings that all runs share are left out."
    )
    said = "".join(f"<li>{in_html(note)}</li>" for note in notes)
    parts = [
        f"<h1>{in_html(title)}</h1>",
        f'<p class="verdict">{len(lines)} runs, {complete} of them complete and trained.</p>',
        *([f"<p>Runs together: {links}</p>"] if pages else []),
        f'<div class="wide"><table class="index"><thead><tr>{head}</tr></thead>'
        f"<tbody>\n{body}\n</tbody></table></div>",
        f'<p class="soft">{in_html(caption)}</p>',
        *([f"<h2>Notes</h2><ul>{said}</ul>"] if notes else []),
        f"<script>{_SCRIPT}</script>",
    ]
    digest = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    policy = (
        "default-src 'none'; img-src 'self' file:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'"
    )
    head = f'{GENERATOR}\n<meta http-equiv="Content-Security-Policy" content="{policy}">'
    return page(title, parts, style=_STYLE, head=head)


def _line(line: IndexLine, settings: Sequence[str], arms: Sequence[str]) -> str:
    name = in_html(line.name)
    if line.link is not None:
        name = f'<a href="{in_html(line.link)}">{name}</a>'
    failed = "" if line.state == "complete" else " failed"
    cells = [
        _cell(name, line.name, "run"),
        _cell(in_html(line.state), line.state, f"state{failed}"),
    ]
    for arm in arms:
        accuracy, mark = line.accuracies.get(arm, (MeanSd(None, None, 0), False))
        cells.append(
            _cell(with_spread(accuracy, 100.0) + f" {FAILED}" * mark, accuracy.mean, "number")
        )
    images = " ".join(
        f'<a href="{in_html(link)}"><img src="{in_html(link)}" alt="{in_html(what)}"'
        ' loading="lazy"></a>'
        for what, link in line.figures
    )
    cells.append(f'<td class="figures">{images}</td>')
    for column in settings:
        value = line.settings.get(column)
        shown = MISSING if column not in line.settings else in_html(in_words(value))
        number = isinstance(value, int | float) and not isinstance(value, bool)
        key = "" if value is None else value if number else in_words(value)
        cells.append(_cell(shown, key, "number" if number else ""))
    cells.append(_cell(in_html(line.changed), line.changed))
    return f"<tr>{''.join(cells)}</tr>"


def _cell(shown: str, key: str | float | int | None, kind: str = "") -> str:
    sort = "" if key is None else in_html(str(key))
    return f'<td class="{kind}" data-sort="{sort}">{shown}</td>'

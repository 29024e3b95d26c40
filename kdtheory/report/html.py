"""The report: one HTML page that needs nothing beside itself."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kdtheory.files import write_whole
from kdtheory.report.page import details, embedded, findings_table, page
from kdtheory.report.tables import text_table
from kdtheory.rows import Row
from kdtheory.statistics.findings import verdict_line
from kdtheory.statistics.hypotheses import findings
from kdtheory.statistics.seeds import failure_line

REPORT_FILE = "report.html"

#: For a newcomer: what each thing on the page is, a short paragraph each.
GUIDE: tuple[tuple[str, str], ...] = (
    (
        "Arm",
        "One way of supervising the same student. “labels” is ordinary training. “offline” copies a"
        " finished teacher’s softened decisions. “online” copies the teacher as it was at about the"
        " same point of its own training: the stored teacher checkpoints are followed one after the"
        " other, and the teacher does not learn from the student. “matched” follows the same"
        " checkpoints, but by the part of their final complexity that they have reached. “self”"
        " takes the student’s own earlier round for the teacher. τ is the temperature: the"
        " teacher’s logits are divided by it, so a higher one gives softer targets.",
    ),
    (
        "Complexity",
        "How hard the targets are for this student: Yᵀ K⁻¹ Y, where Y are the targets and K is the"
        " student’s neural tangent kernel on a set of its training examples. It is the squared norm"
        " of the smallest function of that kernel that fits the targets exactly. Targets that vary"
        " along the kernel’s strong directions are cheap, others dear. Its size depends on the"
        " scale of K, so two values compare only on one kernel.",
    ),
    (
        "Adjusted complexity",
        "(1/n) √(Yᵀ K⁻¹ Y · Tr K): the same with the kernel’s scale taken out, so that values of"
        " different kernels can stand side by side. Random labels have nothing to learn in them"
        " and are the control: what lies well below them can be learnt cheaply. (With one output"
        " and no ridge, random ±1 labels give at least 1 in root mean square.)",
    ),
    (
        "Margin",
        "How clearly the targets name the label that was trained on, label noise included: the"
        " target of the labelled class minus the largest other one, averaged (with one output,"
        " label times target). Softer targets have both a lower complexity and a"
        " smaller margin; the theory’s error bound has √complexity over margin in it, so a low"
        " complexity counts only beside its margin.",
    ),
    (
        "Train loss",
        "Mean of the arm’s own loss on the training examples, in nats: cross-entropy, or the"
        " distillation loss (its part from the teacher has the factor τ²). Arms minimise different"
        " losses, so it says whether an arm was fitted, not which arm is better.",
    ),
    (
        "Fidelity",
        "On how many examples student and final teacher decide alike, right or wrong. On training"
        " examples it tells how far the student could follow; on test examples, how much of that"
        " carries over.",
    ),
    (
        "NTK similarity",
        "Cosine between the student’s and the final teacher’s kernels on the same training"
        " examples: 1 where both networks see the same examples as alike, smaller where not.",
    ),
    (
        "Test accuracy",
        "Share of the test examples classified correctly after the last epoch. No epoch was chosen"
        " by looking at the test examples. The teacher’s own accuracy stands in the teacher’s row.",
    ),
)

_COMPLEXITY_CAPTION = (
    "Adjusted supervision complexity along the student’s training. Left: every supervision measured"
    " on one and the same student, where the values are directly comparable. Right: the supervision"
    " that each arm was trained on, measured on that arm’s student; the table averages these curves"
    " over the measuring points. Lines are means over seeds, bands one standard deviation to each"
    " side (none with one seed)."
)
_ACCURACY_CAPTION = (
    "Left: test accuracy after the last epoch. The dashed line and the grey band are the teacher’s"
    " mean and standard deviation. Right: the same accuracy against the adjusted complexity of the"
    " arm’s own supervision. If less complex supervision helps, the marks fall from left to right."
)


def write_report(
    rows: Sequence[Row],
    out_dir: Path | str,
    *,
    config: Mapping[str, Any],
    provenance: Mapping[str, Any],
    title: str,
    notes: Sequence[str] = (),
) -> Path:
    """Write report.html into a folder and return its path.

    The page holds the table, the findings, both figures (inside the page), how to read each column,
    and the run's configuration and provenance. It refers to nothing outside itself.

    Args:
        rows: the checked rows of one or several runs.
        out_dir: the folder; made where it is missing.
        config: the run's configuration, as it would be written to JSON.
        provenance: versions, machine, times: whatever the run recorded.
        title: the page's heading.
        notes: lines for the reader, such as how the difficulty was chosen or what was left out.

    Raises:
        InputError: there are no rows, or one arm has several alphas.
    """
    page = report_page(rows, config=config, provenance=provenance, title=title, notes=notes)
    return write_whole(Path(out_dir) / REPORT_FILE, page)


def report_page(
    rows: Sequence[Row],
    *,
    config: Mapping[str, Any],
    provenance: Mapping[str, Any],
    title: str,
    notes: Sequence[str] = (),
) -> str:
    """Return the page that `write_report` writes; the arguments are the same.

    Raises:
        InputError: there are no rows, or one arm has several alphas.
    """
    from kdtheory.report.great import great_table

    table = text_table(rows)
    found = findings(rows)
    listed = [*notes, *table.notes]
    verdict = " ".join([*failure_line(rows), verdict_line(found)])
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        "<p>How complex is each kind of supervision for the student, and how well does the student"
        " then do? Complexity is measured with the student’s neural tangent kernel, after"
        " Harutyunyan et al., “Supervision Complexity and its Role in Knowledge Distillation”"
        " (ICLR 2023, arXiv 2301.12245). Everything on this page was computed from the run’s"
        " <code>rows.jsonl</code>.</p>",
        f'<p class="verdict">{html.escape(verdict)}</p>',
    ]
    if listed:
        items = "".join(f"<li>{html.escape(note)}</li>" for note in listed)
        parts.append(f"<h2>Notes on this run</h2><ul>{items}</ul>")
    parts += [
        "<h2>Table</h2>",
        f'<div class="wide">{great_table(table, None).as_raw_html()}</div>',
        f'<p class="soft">{html.escape(table.caption)}</p>',
        "<h2>Complexity along training</h2>",
        _figure(rows, "complexity"),
        "<h2>Accuracy</h2>",
        _figure(rows, "accuracy"),
        "<h2>What the rows say about the theory</h2>",
        findings_table(found),
        "<h2>How to read the table</h2><dl>",
        *(f"<dt>{html.escape(t)}</dt><dd>{html.escape(text)}</dd>" for t, text in GUIDE),
        "</dl>",
        "<h2>How it was made</h2>",
        details("Configuration", config),
        details("Provenance", provenance),
    ]
    return page(title, parts)


def _figure(rows: Sequence[Row], name: str) -> str:
    """Return one figure as an element that carries its image, or a line that says why not."""
    from kdtheory.errors import InputError
    from kdtheory.report.figures import accuracy_figure, complexity_figure

    draw = {"complexity": complexity_figure, "accuracy": accuracy_figure}[name]
    caption = {"complexity": _COMPLEXITY_CAPTION, "accuracy": _ACCURACY_CAPTION}[name]
    try:
        figure = draw(rows)
    except InputError as error:
        return f"<p>No figure: {html.escape(str(error))}.</p>"
    return embedded(figure, caption)

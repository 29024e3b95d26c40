"""The table of certificates: what is proved of kernel fits, beside what holding out proves."""

from collections.abc import Sequence

from kdtheory.arms import Supervision
from kdtheory.report.table import Line, Table
from kdtheory.rows import CertificateRow, Row, certificates, number, supervision_of
from kdtheory.statistics.groups import group_rows

#: Columns by header: the field of the rows.
COLUMNS = {
    "certificate": "certificate",
    "held-out half": "held_out_half",
    "margin bound": "margin_bound",
    "prequential error": "prequential_error",
    "leave-one-out error": "leave_one_out_error",
    "certified risk on test": "certified_test_error",
    "test error": "test_error",
    "network, held out": "network_held_out",
}

CAPTION = (
    "What is certified, with probability 0.95 each, from examples that were set apart before any "
    "network was trained; mean ± standard deviation over seeds. The kernel is the student's: "
    "before training, or after training on the arm with the other examples. Certificate: bounds "
    "the risk of the kernel ridge fits to growing parts of the sample, to the supervision's "
    "targets, from their errors on the next example (the prequential error). Leave-one-out error: "
    "of the fits to all examples but one, an estimate and no bound. Held-out half, the yardstick: "
    "Clopper and Pearson's bound of the fit to one half from the other. Certified risk "
    "on test: of the predictors that the certificate is about, which it should not be below; test "
    "error: of the fit to the whole sample. Network, held out: Clopper and Pearson's bound of the "
    "trained student itself. Online is the teacher's checkpoint nearest to half of its training; "
    "other checkpoints and smaller samples are in rows.jsonl. To choose the best of several "
    "lines, each must be paid for: delta over their number."
)


def certificate_table(rows: Sequence[Row]) -> Table | None:
    """Return the table of certificates of whole samples; None where the rows hold none.

    >>> certificate_table([]) is None
    True
    """
    lines: list[Line] = []
    sections: list[str] = []
    found = certificates(rows)
    for group, members in group_rows(found).items():
        of_group = _lines(certificates(members))
        lines += of_group
        sections += [group.title] * len(of_group)
    if not lines:
        return None
    held = "; ".join(dict.fromkeys(row["premises"] for row in found))
    verdicts = ", ".join(sorted({row["validity"] for row in found}))
    made = Table.of_lines(
        "certificates", f"{CAPTION} Each is a {verdicts}. Premises: {held}.", lines
    )
    return Table(made.name, made.caption, made.columns, sections=sections)


def kernel_name(row: CertificateRow) -> str:
    """Return in words whose kernel a certificate rests on.

    >>> kernel_name({"kind": "certificate"})
    'before training'
    >>> kernel_name({"kind": "certificate", "arm": "offline", "temperature": 4.0})
    'trained: offline, τ = 4'
    """
    if "arm" not in row:
        return "before training"
    return f"trained: {Supervision(row['arm'], row['temperature']).label}"


def shown_certificates(rows: Sequence[CertificateRow]) -> list[CertificateRow]:
    """Return those of the whole sample; of the online teacher the checkpoint nearest to half."""
    if not rows:
        return []
    largest = max(row["n"] for row in rows)
    whole = [row for row in rows if row["n"] == largest]
    steps = {step for row in whole if (step := row.get("checkpoint_step")) is not None}
    early = [step for step in steps if step < max(steps)]
    middle = min(early, key=lambda step: (abs(step - max(steps) / 2), step), default=None)
    return [
        row
        for row in whole
        if row["supervision"] != "online" or row.get("checkpoint_step") == middle
    ]


def _lines(rows: Sequence[CertificateRow]) -> list[Line]:
    by_line: dict[tuple[str, Supervision], list[CertificateRow]] = {}
    for row in shown_certificates(rows):
        by_line.setdefault((kernel_name(row), supervision_of(row)), []).append(row)
    lines: list[Line] = []
    for (kernel, supervision), members in by_line.items():
        cells = {
            header: {
                row["seed"]: value for row in members if (value := number(row, field)) is not None
            }
            for header, field in COLUMNS.items()
        }
        lines.append({
            "kernel": kernel, "targets": supervision.label, "n": members[0]["n"], **cells,
        })  # fmt: skip
    return lines

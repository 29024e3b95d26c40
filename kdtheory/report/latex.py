"""The table as LaTeX, in the style of `booktabs`."""

from kdtheory.report.columns import MISSING
from kdtheory.report.tables import TextTable

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "τ": r"$\tau$",
    "±": r"$\pm$",
    "−": r"$-$",
    "²": r"$^2$",
    "·": r"$\cdot$",
    "→": r"$\to$",
    "†": r"$\dagger$",
    "“": "``",
    "”": "''",
    MISSING: "---",
}


def latex_table(table: TextTable) -> str:
    r"""Return a `table*` environment to be used with `\usepackage{booktabs}`.

    One block of lines a run group, each under its title; the caption explains every column.
    """
    groups = table.groups
    columns = len(table.headers)
    body: list[str] = []
    for number, (title, texts) in enumerate(groups):
        if number:
            body.append(r"\midrule")
        if len(groups) > 1:
            body.append(rf"\multicolumn{{{columns}}}{{l}}{{\textit{{{escape_latex(title)}}}}} \\")
        body += [" & ".join(map(escape_latex, cells)) + r" \\" for cells in texts]
    titles = "" if len(groups) > 1 else f"{escape_latex(groups[0][0])}. "
    meanings = " ".join(
        rf"\textit{{{escape_latex(header)}}}: {escape_latex(text)}"
        for header, text in table.meanings
    )
    notes = " ".join(f"{escape_latex(note)}." for note in table.notes)
    return "\n".join(
        [
            r"% Needs \usepackage{booktabs}.",
            r"\begin{table*}",
            r"\centering",
            r"\scriptsize",
            r"\setlength{\tabcolsep}{2.5pt}",
            rf"\begin{{tabular}}{{l{'r' * (columns - 1)}}}",
            r"\toprule",
            " & ".join(map(_header, table.headers)) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            rf"\caption{{{titles}{escape_latex(table.caption)} {meanings} {notes}}}".rstrip(),
            r"\end{table*}",
            "",
        ]
    )


def escape_latex(text: str) -> str:
    r"""Return text with LaTeX's special characters, and those of our labels, written out.

    >>> print(escape_latex("first_half 50% τ = 4 ± 1"))
    first\_half 50\% $\tau$ = 4 $\pm$ 1
    """
    return "".join(_SPECIAL.get(character, character) for character in text)


def _header(text: str) -> str:
    """Stack a header's words, which keeps a table of ten columns narrow."""
    words = [escape_latex(word) for word in text.split()]
    if len(words) == 1:
        return words[0]
    return r"\begin{tabular}[b]{@{}c@{}}" + r" \\ ".join(words) + r"\end{tabular}"

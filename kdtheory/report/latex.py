"""Tables as LaTeX, in the style of `booktabs`."""

import re

from kdtheory.report.table import MISSING, Table

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


def latex(table: Table) -> str:
    r"""Return a table to be used with `\usepackage{booktabs,graphicx}`.

    One block of lines a section, each under its title; the caption explains every column. Up to
    five columns are a `table`, as wide as a column of the paper; more are a `table*`, as wide as
    its page. What is wider still is made as small as that.
    """
    sections, headers = table.by_section(), list(table.columns)
    several = len(sections) > 1
    body: list[str] = []
    for number, (title, lines) in enumerate(sections.items()):
        if number:
            body.append(r"\midrule")
        if several:
            heading = rf"\textit{{{escape_latex(title)}}}"
            body.append(rf"\multicolumn{{{len(headers)}}}{{l}}{{{heading}}} \\")
        body += [" & ".join(map(escape_latex, line)) + r" \\" for line in lines]
    caption = [f"{escape_latex(table.sections[0])}."] if table.sections and not several else []
    caption.append(escape_latex(table.caption))
    caption += [
        rf"\textit{{{escape_latex(header)}}}: {escape_latex(text)}"
        for header, text in table.meanings.items()
    ]
    caption += [f"{escape_latex(note)}." for note in table.notes]
    narrow = len(headers) <= 5
    environment = "table" if narrow else "table*"
    places = "l" + "".join("l" if table.is_text(header) else "r" for header in headers[1:])
    return "\n".join(
        [
            r"% Needs \usepackage{booktabs,graphicx}.",
            rf"\begin{{{environment}}}",
            r"\centering",
            r"\footnotesize" if narrow else r"\scriptsize",
            r"\setlength{\tabcolsep}{2.5pt}",
            rf"\sbox0{{\begin{{tabular}}{{{places}}}",
            r"\toprule",
            " & ".join(map(_header, headers)) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}}%",
            r"\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi",
            rf"\caption{{{' '.join(caption)}}}",
            rf"\end{{{environment}}}",
            "",
        ]
    )


def escape_latex(text: str) -> str:
    r"""Return text with LaTeX's special characters, and those of our labels, written out.

    >>> print(escape_latex("first_half 50% τ = 4 ± 1"))
    first\_half 50\% $\tau$ = 4 $\pm$ 1
    >>> print(escape_latex("Y^T K^-1 Y, a^b"))
    Y$^{T}$ K$^{-1}$ Y, a\textasciicircum{}b
    """
    parts = re.split(r"\^(T\b|-1\b)", text)  # of a matrix: transposed, inverted
    for place, part in enumerate(parts):
        plain = "".join(_SPECIAL.get(character, character) for character in part)
        parts[place] = rf"$^{{{part}}}$" if place % 2 else plain
    return "".join(parts)


def _header(text: str) -> str:
    """Stack a header's words, which keeps a table of ten columns narrow."""
    words = [escape_latex(word) for word in text.split()]
    if len(words) == 1:
        return words[0]
    return r"\begin{tabular}[b]{@{}c@{}}" + r" \\ ".join(words) + r"\end{tabular}"

"""Names that come from outside, as text that does nothing where it is shown."""

import html
import re
import unicodedata
from typing import Any

#: Beside letters, what turns the direction of a line around.
_TURNING = re.compile("[\u202a-\u202e\u2066-\u2069]")

#: What begins a formula in a spreadsheet.
_FORMULA = re.compile(r"[=+\-@\t\r]")


def plain(text: str) -> str:
    r"""Return a text as one line without control characters, such as those that drive a terminal.

    >>> plain("cats\x1b[31m\nand dogs")
    'cats[31m and dogs'
    """
    one_line = " ".join(_TURNING.sub("", text).splitlines())
    shown = "".join(" " if c == "\t" else c for c in one_line)
    return "".join(c for c in shown if unicodedata.category(c) not in ("Cc", "Cs"))


def say(text: str, *, file: Any = None, flush: bool = False) -> None:
    r"""Print a line in which names from outside may stand, as `plain` text.

    >>> say("classes: cats\x1b[31m")
    classes: cats[31m
    """
    print(plain(text), file=file, flush=flush)


def number_of(count: int, one: str, several: str | None = None) -> str:
    """Return a number and what it counts.

    >>> number_of(1, "seed"), number_of(2, "seed"), number_of(2, "hypothesis", "hypotheses")
    ('1 seed', '2 seeds', '2 hypotheses')
    """
    return f"{count:,} {one if count == 1 else several or one + 's'}"


def in_markdown(text: str) -> str:
    r"""Return a text that ends no cell of a Markdown table, and is no link and no HTML.

    >>> print(in_markdown("a|b [c](https://d) <script>"))
    a\|b [c]\(https\://d) \<script>
    """
    text = plain(text).replace("|", "\\|").replace("](", "]\\(")
    text = re.sub(r"<(?=[A-Za-z/!?])", r"\\<", text)
    return re.sub(r"(?i)\b(https?|ftp|mailto|javascript):", r"\1\\:", text).replace(
        "www.", "www\\."
    )


def in_html(text: str) -> str:
    r"""Return a text that is no tag in HTML.

    >>> in_html("a\x1b[1m <b>")
    'a[1m &lt;b&gt;'
    """
    return html.escape(plain(text))


def in_spreadsheet(text: str) -> str:
    """Return a text that a spreadsheet does not take for a formula; numbers stay numbers.

    >>> in_spreadsheet("=1+1"), in_spreadsheet("-1.5"), in_spreadsheet("labels")
    ("'=1+1", '-1.5', 'labels')
    """
    # First: what is left out of a text may have hidden that it is a formula.
    shown = plain(text)
    if not (_FORMULA.match(text) or _FORMULA.match(shown)):
        return shown
    try:
        float(text)
    except ValueError:
        return f"'{shown}"
    return text

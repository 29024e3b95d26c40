"""`kdtheory methods`."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Methods:
    """List the distillation methods that kdtheory run --arms knows by name."""

    markdown: bool = False
    """Print a Markdown table: the one of docs/methods.md."""


def methods(options: Methods) -> None:
    """Run `kdtheory methods`."""
    from rich.table import Table

    from kdtheory.methods.registry import METHODS
    from kdtheory.report import stdout_console

    heads = ("arm", "method", "what the student is shown", "needs", "source")
    rows = [(name, m.title, m.shows, m.needs, m.source) for name, m in METHODS.items()]
    if options.markdown:
        print("| " + " | ".join(heads) + " |")
        print("|---" * len(heads) + "|")
        for name, *rest in rows:
            print(f"| `{name}` | " + " | ".join(rest) + " |")
        return
    table = Table(*heads, box=None)
    table.columns[0].no_wrap = True
    for row in rows:
        table.add_row(*row)
    stdout_console().print(table)

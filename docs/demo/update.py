"""Copy a finished demo's table, figures, config and provenance here, and its table into the README.

.venv/bin/python docs/demo/update.py runs/demo
"""

import re
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
README = HERE.parent.parent / "README.md"
FILES = ("table.md", "complexity.png", "accuracy.png", "config.json", "provenance.json")


def main(run: Path) -> None:
    """Update docs/demo and the README from a run folder."""
    for name in FILES:
        shutil.copy(run / name, HERE / name)
    table = "\n".join(
        line for line in (run / "table.md").read_text().splitlines() if line.startswith("|")
    )
    shown = (
        f"{table}\n\nMean and standard deviation over seeds; how to read each column, and what "
        "goes against the theory, stand in [docs/demo/table.md](docs/demo/table.md).\n\n"
        "![Adjusted complexity of each supervision along training](docs/demo/complexity.png)\n"
    )
    text = re.sub(
        r"(<!-- demo: begin[^>]*-->\n).*?(<!-- demo: end -->)",
        lambda match: match[1] + shown + match[2],
        README.read_text(),
        flags=re.DOTALL,
    )
    README.write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Put the tables of experiments/results into docs/bounds.md.

python docs/update_tables.py
"""

import re
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE.parent / "experiments" / "results"
PAGE = HERE / "bounds.md"
NAMES = ("bound_tightness", "interval_coverage", "certified_cifar100")


def main() -> None:
    """Replace what stands between each pair of marks by the experiment's table."""
    text = PAGE.read_text()
    for name in NAMES:
        table = (RESULTS / name / "table.md").read_text().rstrip()
        text, count = re.subn(
            rf"(<!-- {name}: begin[^>]*-->\n).*?(<!-- {name}: end -->)",
            lambda match, table=table: f"{match[1]}{table}\n{match[2]}",
            text,
            flags=re.DOTALL,
        )
        if count != 1:
            raise SystemExit(f"{PAGE}: needs one pair of marks for {name}, has {count}")
    PAGE.write_text(text)


if __name__ == "__main__":
    main()

"""Counts what the faults came to, and prints it at the end."""

from collections import Counter

import pytest

#: (kind, how it ended) -> how often.
COUNTS: Counter[tuple[str, str]] = Counter()

#: Ends that there must be none of.
BAD = ("other numbers", "traceback", "lost")


@pytest.fixture(scope="session")
def tally():
    """Count an end: `tally(kind, end)`; returns whether it is one that may be."""

    def count(kind: str, end: str) -> bool:
        COUNTS[kind, end] += 1
        return end not in BAD

    return count


def pytest_terminal_summary(terminalreporter):
    """Print the counts."""
    for kind in sorted({kind for kind, _ in COUNTS}):
        ends = {end: count for (of, end), count in COUNTS.items() if of == kind}
        bad = sum(ends.get(end, 0) for end in BAD)
        listed = ", ".join(f"{count} {end}" for end, count in sorted(ends.items()))
        terminalreporter.write_line(f"{kind}: {sum(ends.values())} ({listed}); {bad} that must not")

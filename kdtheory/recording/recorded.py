"""What a recorder has measured: one set of targets at one step."""

from typing import Any, NamedTuple

from kdtheory.measure.values import SupervisionComplexity


class Recorded(NamedTuple):
    """The complexity of one set of targets for a network at one step of its training."""

    step: int
    targets: str
    """The set's name."""
    value: SupervisionComplexity

    def row(self) -> dict[str, Any]:
        """Return it as the fields of a row, in JSON's types.

        An interval has null for its value and the two ends beside it, as in a run's rows.
        """
        row = {"step": self.step, "targets": self.targets, **self.value.row()}
        over = self.value.over_rms
        row["adjusted_over_rms"] = over.value if self.value.exact else None
        if not self.value.exact:
            row |= {"adjusted_over_rms_lower": over.lower, "adjusted_over_rms_upper": over.upper}
        return row

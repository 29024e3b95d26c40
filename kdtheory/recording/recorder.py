"""What is called with a network at the steps of its training, and holds what it measured."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from kdtheory.arguments import as_array, check_count
from kdtheory.digests import Owner
from kdtheory.measure.network_kernel import MeasuredKernel, checked_labels, shaped, with_margins
from kdtheory.measure.spec import KernelSpec
from kdtheory.measure.values import SupervisionComplexity
from kdtheory.ntk.fingerprint import array_hash
from kdtheory.recording.figure import along_figure
from kdtheory.recording.kept import keep, kept
from kdtheory.recording.recorded import Recorded
from kdtheory.recording.results import along_table, write_along
from kdtheory.report.table import Table
from kdtheory.typing import AnyArray

if TYPE_CHECKING:
    import matplotlib.figure


class Prepared(NamedTuple):
    """A network's kernel at one step, which is yet to be computed."""

    num_outputs: int
    """d of the targets that it takes."""
    make: Callable[[], MeasuredKernel]
    fingerprint: Callable[[], str]
    """Returns a hash of all that the kernel depends on, besides the specification."""


class ComplexityRecorder:
    """Records how complex sets of targets are for a network, at any steps of its training.

    All sets share the one kernel of a step. Nothing of the network is changed or kept.
    `complexity_recorder` and `kernel_recorder` make one.
    """

    def __init__(
        self,
        prepare: Callable[[Any], Prepared],
        num_examples: int,
        targets: Mapping[str, AnyArray],
        *,
        labels: AnyArray | None,
        spec: KernelSpec,
    ) -> None:
        """Make a recorder; `prepare` reads what it is called with.

        Raises:
          InputError: labels of another number, or targets that are no array of numbers.
        """
        self._prepare, self._n, self._spec = prepare, num_examples, spec
        self._targets = _arrays(targets)
        self._labels = checked_labels(labels, num_examples)
        self._by_step: dict[int, list[Recorded]] = {}

    def __call__(
        self, step: int, variables: Any, *, targets: Mapping[str, AnyArray] | None = None
    ) -> dict[str, SupervisionComplexity]:
        """Measure every set of targets for the network at a step, and record it.

        Args:
          step: updates so far; what was recorded of the same step before is replaced.
          variables: {"params": ..., ...} of the network at the step; its kernel, where the recorder
            is of kernels.
          targets: further sets of this step alone, such as those of an online teacher's current
            checkpoint; one of a known name stands for it here.

        Returns:
          One `SupervisionComplexity` a set, by name.

        Raises:
          InputError: targets that do not fit the network's logits, and as `ntk.gram`.
          KernelError: a kernel whose inverse cannot be trusted at this ridge.
        """
        step = check_count("step", step, least=0)
        named = {**self._targets, **_arrays(targets or {})}
        kernel = self._prepare(variables)
        sets = [shaped(name, values, self._n, kernel.num_outputs) for name, values in named.items()]
        found = self._found(step, list(named), sets, kernel)
        self._by_step[step] = [
            Recorded(step, name, value) for name, value in zip(named, found, strict=True)
        ]
        return dict(zip(named, found, strict=True))

    @property
    def points(self) -> list[Recorded]:
        """What was measured, in the order of the steps."""
        return [point for step in sorted(self._by_step) for point in self._by_step[step]]

    def rows(self) -> list[dict[str, Any]]:
        """Return what was measured, one row a step and set of targets, in JSON's types."""
        return [point.row() for point in self.points]

    def table(self) -> Table:
        """Return what was measured as a table, a line a set of targets and step.

        Raises:
          InputError: nothing was recorded.
        """
        return along_table(self.points)

    def figure(self) -> "matplotlib.figure.Figure":
        """Draw what was measured against the step.

        Raises:
          InputError: nothing was recorded.
        """
        return along_figure(self.points)

    def write(self, out: Path | str) -> list[Path]:
        """Write table, figure and rows into a folder (`write_along`); return their paths.

        Raises:
          InputError: nothing was recorded.
          RunError: a file cannot be written.
        """
        return write_along(self.points, Path(out))

    def _found(
        self, step: int, names: list[str], sets: Sequence[np.ndarray], kernel: Prepared
    ) -> list[SupervisionComplexity]:
        """Return the sets' complexities: measured, or kept by an earlier call for the same."""
        if self._spec.store is None:
            return self._measured(sets, kernel)
        spec = {k: v for k, v in dataclasses.asdict(self._spec).items() if k != "store"}
        labels = [] if self._labels is None else [self._labels]
        told = [spec, names, array_hash(*sets, *labels), kernel.fingerprint()]
        key = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]
        path = Path(self._spec.store) / f"step-{step:08d}-{key}.npz"
        owner = Owner(names={"measurement": key, "step": step})
        found = kept(path, owner, len(sets))
        if found is None:
            found = self._measured(sets, kernel)
            keep(path, owner, found)
        return found

    def _measured(
        self, sets: Sequence[np.ndarray], kernel: Prepared
    ) -> list[SupervisionComplexity]:
        return with_margins(kernel.make().complexities(sets), sets, self._labels)


def _arrays(targets: Mapping[str, AnyArray]) -> dict[str, np.ndarray]:
    return {name: as_array(f"targets {name!r}", values) for name, values in targets.items()}

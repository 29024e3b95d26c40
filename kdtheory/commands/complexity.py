"""`kdtheory complexity`."""

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class ComplexityOf:
    """Print the supervision complexity Y^T (K + ridge I)^-1 Y of saved targets."""

    gram: Path
    """The kernel: .npy of shape (n, n), or (n d, n d) example-major."""
    targets: Path
    """The targets: .npy of shape (n,), (n, d), flat (n d,), or a stack (k, n, d), (k, n d)."""
    ridge: float = 0.0
    """lambda, added to the diagonal."""
    num_outputs: int | None = None
    """Outputs d of each example (default: what the .json beside the kernel says, else the last axis
    of (n, d) targets, else 1)."""
    json: bool = False
    """Print JSON."""


def complexity(options: ComplexityOf) -> None:
    """Run `kdtheory complexity`."""
    from kdtheory.studies.kernel_files import complexity_of_files

    values = complexity_of_files(
        options.gram, options.targets, ridge=options.ridge, num_outputs=options.num_outputs
    )
    if options.json:
        print(json.dumps(values))
        return
    for name, value in values.items():
        shown = value if isinstance(value, list) else [value]
        print(f"{name:>11}  {'  '.join(f'{entry:.6g}' for entry in shown)}")

"""Approximations of the kernel against the exact one, at initialisation and after training.

    python experiments/kernel_approximations.py [--smoke] [--out DIR]

Random projections, Nystrom and the sum-of-logits kernel, on networks trained on the digits.
What was seen stands in docs/approximations.md.
"""

from pathlib import Path

import tyro

from kdtheory.studies.approximations import run_approximations


def main(
    out: Path = Path("experiments/results/kernel_approximations"), smoke: bool = False
) -> None:
    """Measure the approximations; write figures and tables.

    Args:
        out: folder of the results.
        smoke: everything at a size of seconds; the numbers mean nothing.
    """
    run_approximations(out, smoke=smoke, on_network=print)
    print(f"table: {out}/table.md    figures: {out}/*.png    every measurement: {out}/*.csv")


if __name__ == "__main__":
    tyro.cli(main)

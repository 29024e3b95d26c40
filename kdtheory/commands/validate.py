"""`kdtheory validate`."""

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True, kw_only=True)
class Validate:
    """Run the theory's claims: one line each, exit code 1 if one fails."""

    claims: tyro.conf.Positional[tuple[str, ...]] = ()
    """Names of claims (default: all)."""
    quick: bool = False
    """Smaller sizes: under two minutes on two cores."""
    seed: int = 0
    """Seed of all draws."""
    out: Path | None = None
    """Folder for each claim's figure and JSON, and a page of all claims that have them there."""


def validate(options: Validate) -> None:
    """Run `kdtheory validate`."""
    from kdtheory.claims import CLAIMS, run_claims, select_claims, write_page

    failed = 0
    chosen = select_claims(CLAIMS, options.claims)
    for validation in run_claims(chosen, quick=options.quick, seed=options.seed, out=options.out):
        print(validation.line, flush=True)
        failed += not validation.outcome.holds
    if options.out is not None:
        write_page(options.out, CLAIMS)
    if failed:
        print(f"{failed} of {len(chosen)} claims failed", file=sys.stderr)
        raise SystemExit(1)

"""Run claims, and keep their numbers and figures."""

import io
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from kdtheory.claims.claim import Claim, Outcome
from kdtheory.errors import unknown_name
from kdtheory.files import json_text, write_whole


class Validation(NamedTuple):
    """One claim as it was run: the claim, its outcome, seconds it took."""

    claim: Claim
    outcome: Outcome
    seconds: float

    @property
    def line(self) -> str:
        """One line: name, whether it holds, by which margin, and the deciding numbers."""
        verdict = "holds" if self.outcome.holds else "FAILS"
        return (
            f"{self.claim.name:22} {verdict}  margin {self.outcome.margin:9.2g}  "
            f"{self.seconds:5.1f} s  {self.outcome.detail}"
        )


def select_claims(known: Sequence[Claim], names: Sequence[str] = ()) -> list[Claim]:
    """Return the claims of these names, in the order of `known`; all of them for no names.

    Raises:
      InputError: a name that is not known; the message lists those that are.

    >>> from kdtheory.claims import CLAIMS
    >>> [claim.name for claim in select_claims(CLAIMS, ["temperature"])]
    ['temperature']
    """
    allowed = [claim.name for claim in known]
    for name in names:
        if name not in allowed:
            raise unknown_name("claim", name, allowed, registered=True)
    return [claim for claim in known if not names or claim.name in names]


def run_claims(
    claims: Sequence[Claim],
    *,
    quick: bool = False,
    seed: int = 0,
    out: Path | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[Validation]:
    """Run each claim and yield its result as soon as it is there.

    Args:
      claims: to run, see `select_claims`.
      quick: smaller sizes and fewer draws: all claims within two minutes on two cores.
      seed: of all random draws.
      out: folder for NAME.json (statement, verdict, every number) and NAME.png.
      clock: seconds.

    Raises:
      InputError: a file that cannot be written.
    """
    for claim in claims:
        begin = clock()
        outcome = claim.check(quick=quick, seed=seed)
        result = Validation(claim, outcome, clock() - begin)
        if out is not None:
            _write(result, out, quick=quick, seed=seed)
        yield result


def _write(result: Validation, folder: Path, *, quick: bool, seed: int) -> None:
    from matplotlib.figure import Figure

    claim, outcome = result.claim, result.outcome
    record = {
        "claim": claim.name,
        "statement": claim.statement,
        "source": claim.source,
        "varied": claim.varied,
        "quick": quick,
        "seed": seed,
        "holds": outcome.holds,
        "margin": outcome.margin,
        "detail": outcome.detail,
        "seconds": round(result.seconds, 3),
        "versions": {"jax": jax.__version__, "numpy": np.__version__},
        "series": {name: values.tolist() for name, values in outcome.series.items()},
    }
    write_whole(folder / f"{claim.name}.json", json_text(record, indent=1) + "\n")
    figure = Figure(figsize=(6, 4), layout="constrained")
    claim.draw(outcome, figure.subplots())
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    write_whole(folder / f"{claim.name}.png", buffer.getvalue())

"""A page of all claims that were run, from the files that `run_claims` leaves."""

from collections.abc import Sequence
from pathlib import Path

from kdtheory.claims.claim import Claim
from kdtheory.errors import InputError
from kdtheory.files import read_json, write_whole


def write_page(folder: Path, claims: Sequence[Claim]) -> Path:
    """Write README.md: each claim with its source, verdict, deciding numbers and figure.

    Args:
      folder: with NAME.json and NAME.png of every claim, from `run_claims(out=folder)`.
      claims: in the order in which they shall stand. Those that have no file are left out.

    Returns:
      The page's path.

    Raises:
      InputError: a file that cannot be read, or none there.
    """
    known = [(claim, _record(folder / f"{claim.name}.json")) for claim in claims]
    ran = [(claim, record) for claim, record in known if record is not None]
    if not ran:
        raise InputError(f"no claim's file in {folder}: run kdtheory validate --out {folder}")
    return write_whole(folder / "README.md", "\n".join(_lines(ran)) + "\n")


def _record(path: Path) -> dict | None:
    try:
        return read_json(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {error}") from None


def _lines(ran: list[tuple[Claim, dict]]) -> list[str]:
    settings = sorted({f"seed {r['seed']}{', quick' * r['quick']}" for _, r in ran})
    versions = sorted({f"jax {r['versions']['jax']}" for _, r in ran})
    holding = sum(record["holds"] for _, record in ran)
    lines = [
        "# Claims",
        "",
        "Made by `kdtheory validate --out FOLDER`, which runs each claim of the theory as a check",
        "that can fail, writes its numbers (NAME.json) and figure (NAME.png), and this page.",
        f"{holding} of {len(ran)} hold ({'; '.join(settings)}; {'; '.join(versions)}). The margin",
        "is by how much, in the unit of the check; each claim has a test in which a broken premise",
        "makes it fail.",
        "",
        "| claim | verdict | margin | deciding numbers |",
        "|---|---|---|---|",
    ]
    for claim, record in ran:
        lines.append(
            f"| [{claim.name}](#{claim.name}) | {_verdict(record)} | {record['margin']:.2g} | "
            f"{record['detail'].replace('|', '/')} |"
        )
    caveats = [claim for claim, _ in ran if claim.caveat]
    lines += ["", "## What does not hold as it is often stated, and what does", ""]
    lines += [f"- **{claim.name}**: {claim.caveat}" for claim in caveats]
    for claim, record in ran:
        lines += [
            "",
            f"## {claim.name}",
            "",
            claim.statement,
            "",
            f"- Source: {claim.source}.",
            f"- Varied: {claim.varied}.",
            f"- Outcome: {_verdict(record)}. {record['detail']}.",
            "",
            f"![{claim.name}]({claim.name}.png)",
        ]
    return lines


def _verdict(record: dict) -> str:
    return "holds" if record["holds"] else "**fails**"

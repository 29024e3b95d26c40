"""Rows of run folders, checked to be those of the runs that lie there."""

from pathlib import Path

from kdtheory.errors import RunError
from kdtheory.runs.config_file import read_config
from kdtheory.runs.identity import settings_hash
from kdtheory.runs.store import stored_fingerprint
from kdtheory.statistics.stored_rows import ROWS_FILE, RowsRead, read_rows


def own_rows(*sources: Path) -> RowsRead:
    """Return the rows of run folders or rows files, as `read_rows` does.

    Raises:
      InputError: as `read_rows`; a run's configuration cannot be read.
      RunError: as `read_rows`; a folder's rows are not those of the run that its configuration
        describes.
    """
    for source in sources:
        if (source / ROWS_FILE).exists():
            _check_own(source)
    return read_rows(*sources)


def _check_own(folder: Path) -> None:
    data = folder / "data.json"
    if not data.exists():
        return  # the rows of several runs, gathered
    fingerprint = stored_fingerprint(data)
    settings = settings_hash(read_config(folder / "config.json").identity(), fingerprint)
    others = {row["settings"] for row in read_rows(folder).rows} - {settings}
    if others:
        raise RunError(
            f"{folder / ROWS_FILE} holds rows of another run (settings {min(others)}, the run of "
            f"this folder has {settings}); the run's command makes it again"
        )

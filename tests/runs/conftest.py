"""A configuration small enough to run the whole line in seconds."""

import json
import shutil

import pytest

from kdtheory.runs import RunConfig
from kdtheory.training import OptimizerConfig

#: Every arm; the tests shrink or change it further.
TINY = RunConfig.of(
    dataset="synthetic", task="full", train_size=32, validation_size=8, test_size=16,
    teacher="mlp16x1", student="mlp8x1", temperatures=(1.0, 4.0), epochs=4,
    teacher_checkpoints=4, batch_size=8, seeds=1, points=3, ntk_size=16, ridge=1e-2,
    steps_per_dispatch=1,
)  # fmt: skip

#: The folder of a run that has ended -> what `execute` returned.
RETURNED = {}


@pytest.fixture(scope="session")
def finished_once(tmp_path_factory):
    """A run that has ended; tests copy it."""
    from kdtheory.runs import execute

    out = tmp_path_factory.mktemp("finished") / "run"
    RETURNED[out] = execute(TINY.replace(out=str(out)), quiet=True)
    return out


@pytest.fixture
def finished_rows(finished_once):
    """The rows that the run returned when it ended."""
    return RETURNED[finished_once]


@pytest.fixture(scope="session")
def tiny_anywhere():
    """The tiny configuration, for fixtures that choose its folder."""
    return TINY


@pytest.fixture
def tiny(tmp_path):
    """The tiny configuration, with a folder of the test's own."""
    return TINY.replace(out=str(tmp_path / "run"))


@pytest.fixture(scope="session")
def sweep(finished_once, tmp_path_factory):
    """A sweep over rates, made out of one run, and a case of it that failed before it began."""
    from kdtheory.runs.config import to_json
    from kdtheory.runs.config_file import read_config
    from kdtheory.runs.identity import settings_hash
    from kdtheory.runs.store import stored_fingerprint
    from kdtheory.statistics.stored_rows import read_rows, write_rows_file

    out = tmp_path_factory.mktemp("side") / "sweep"
    cases = {}
    for rate in (0.1, 0.02):
        folder = out / f"rate={rate}"
        shutil.copytree(finished_once, folder)
        config = read_config(folder / "config.json").replace(
            student_optimizer=OptimizerConfig(learning_rate=rate), out=str(folder)
        )
        cases[folder.name] = to_json(config)
        (folder / "config.json").write_text(json.dumps(to_json(config)))
        settings = settings_hash(config.identity(), stored_fingerprint(folder / "data.json"))
        write_rows_file(
            folder / "rows.jsonl",
            [{**row, "settings": settings} for row in read_rows(folder).rows],
        )
    cases["bad"] = {**cases["rate=0.1"], "batch_size": 64}
    (out / "sweep.json").write_text(json.dumps(cases))
    (out / "failures.json").write_text(json.dumps({"bad": {"error": "too large", "log": None}}))
    return out

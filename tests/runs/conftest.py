"""A configuration small enough to run the whole line in seconds."""

import pytest

from kdtheory.runs import RunConfig

#: Every arm; the tests shrink or change it further.
TINY = RunConfig.of(
    dataset="synthetic", task="full", train_size=32, validation_size=8, test_size=16,
    teacher="mlp16x1", student="mlp8x1", temperatures=(1.0, 4.0), epochs=4,
    teacher_checkpoints=4, batch_size=8, seeds=1, points=3, ntk_size=16, ridge=1e-2,
    steps_per_dispatch=1,
)  # fmt: skip


@pytest.fixture(scope="session")
def finished_once(tmp_path_factory):
    """A run that has ended; tests copy it."""
    from kdtheory.runs import execute

    out = tmp_path_factory.mktemp("finished") / "run"
    execute(TINY.replace(out=str(out)), quiet=True)
    return out


@pytest.fixture(scope="session")
def tiny_anywhere():
    """The tiny configuration, for fixtures that choose its folder."""
    return TINY


@pytest.fixture
def tiny(tmp_path):
    """The tiny configuration, with a folder of the test's own."""
    return TINY.replace(out=str(tmp_path / "run"))

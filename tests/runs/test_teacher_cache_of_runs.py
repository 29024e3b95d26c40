"""Runs whose students read the teacher's logits on augmented images instead of computing them."""

import numpy as np
import pytest

from kdtheory.errors import InputError
from kdtheory.runs import execute
from kdtheory.runs.identity import settings_hash
from kdtheory.runs.store import open_store
from kdtheory.training.views import Views


@pytest.fixture(scope="module")
def config(tiny_anywhere):
    return tiny_anywhere.replace(
        augment=True, kernel="none", arms=("offline", "online"), epochs=2, teacher_checkpoints=2,
        teacher_cache=True, temperatures=(4.0,), steps_per_dispatch=4,
    )  # fmt: skip


@pytest.fixture(scope="module")
def finished(config, tmp_path_factory):
    """A run with a cache beside shared teachers, and its rows."""
    folder = tmp_path_factory.mktemp("cached")
    config = config.replace(out=str(folder / "run"), teachers=str(folder / "teachers"))
    return config, execute(config, quiet=True), folder


def losses(rows):
    return [row["train_loss"] for row in rows if row["kind"] == "student"]


def tables(folder):
    return sorted(path.relative_to(folder) for path in folder.rglob("epoch-*.npz"))


def test_students_are_those_of_a_teacher_in_the_step_to_rounding(finished, tmp_path):
    config, rows, folder = finished
    plain = execute(config.replace(teacher_cache=False, out=str(tmp_path / "plain")), quiet=True)
    np.testing.assert_allclose(losses(rows), losses(plain), rtol=1e-3)
    assert losses(rows) != losses(plain)
    assert {row["settings"] for row in rows} != {row["settings"] for row in plain}
    # Offline in two epochs, online in the first; in the second both have the last checkpoint.
    assert len(tables(folder / "teachers" / "views")) == 3


def test_another_run_reads_what_one_has_left(finished, tmp_path, monkeypatch):
    config, _, folder = finished

    def no_teacher(*_):
        raise AssertionError("a forward pass of the teacher")

    monkeypatch.setattr(Views, "logits", no_teacher)
    execute(config.replace(student="mlp4x1", arms=("online", "dkd"), out=str(tmp_path / "other")),
            quiet=True)  # fmt: skip
    assert len(tables(folder / "teachers" / "views")) == 3


def test_a_run_of_its_own_keeps_its_cache_and_fresh_deletes_it(config, tmp_path, capsys):
    config = config.replace(arms=("self",), out=str(tmp_path / "run"), epochs=1)
    execute(config)
    told = " ".join("".join(capsys.readouterr()).split())
    assert "epochs computed 1, read 0;" in told
    views = tmp_path / "run" / "views"
    assert len(tables(views)) == 1
    (views / "old").write_text("")
    with open_store(config, data={"sha256": "other"}, fresh=True):
        assert not views.exists()


def test_one_teacher_and_the_same_batches_need_one_cache_for_all_seeds(
    config, tmp_path, monkeypatch
):
    config = config.replace(
        one_teacher=True, same_batches=True, seeds=2, arms=("offline",), temperatures=(4.0,),
        out=str(tmp_path / "run"),
    )  # fmt: skip
    computed, logits = [], Views.logits
    monkeypatch.setattr(Views, "logits", lambda *a: computed.append(a[-1]) or logits(*a))
    rows = execute(config, quiet=True)
    assert computed == [0, 1]
    # The seeds still differ: in their initial parameters.
    assert len(set(losses(rows))) == len(losses(rows))


def test_the_cache_is_part_of_a_runs_identity_and_its_budget_is_not(config):
    plain = config.replace(teacher_cache=False)
    hashes = [
        settings_hash(each.identity(), "0")
        for each in (config, config.replace(teacher_cache_budget="1GiB"), plain)
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_budget_that_is_no_size_is_one_line(config):
    with pytest.raises(InputError, match="a size must be bytes or a number with a unit"):
        config.replace(teacher_cache_budget="much")

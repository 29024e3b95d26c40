"""A run that an earlier version stored is read bit for bit, continued and extended to rounding."""

import json
import math
import shutil
import tarfile
from pathlib import Path

import pytest

from kdtheory.report import read_rows
from kdtheory.runs import RunConfig, execute, read_config, to_json
from kdtheory.runs.identity import BEFORE
from kdtheory.runs.loading import load_dataset
from kdtheory.runs.shared_teachers import folder_name, training_settings
from kdtheory.runs.teacher import assistant_settings, teacher_trainers

STORED = Path(__file__).parent / "stored_run"

#: Estimates and rounding errors: on another machine they say nothing.
NOISE = ("condition", "residual")


#: Fields of rows that later versions added.
ADDED = {"target_rms", "failure"}


@pytest.fixture
def interrupted(tmp_path):
    """A copy of the stored run, as its kill left it."""
    with tarfile.open(STORED / "interrupted.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "run"


@pytest.fixture
def config(interrupted):
    return read_config(interrupted / "config.json").replace(out=str(interrupted))


def expected(arms):
    """Return the rows of the version that stored the run, of these arms."""
    rows = map(json.loads, (STORED / "expected_rows.jsonl").read_text().splitlines())
    return [row for row in rows if row.get("arm") is None or row["arm"] in arms]


def key(row):
    names = ("seed", "kind", "arm", "temperature", "step", "supervision", "checkpoint_step")
    return str([row.get(name) for name in (*names, "supervision_temperature", "gamma")])


def assert_same(rows, wanted):
    """The same to rounding: a virtual machine's processor has one name for several generations."""
    rows, wanted = sorted(rows, key=key), sorted(wanted, key=key)
    assert [key(row) for row in rows] == [key(row) for row in wanted]
    for row, other in zip(rows, wanted, strict=True):
        assert row.keys() - ADDED == other.keys()
        for name, value in other.items():
            if not isinstance(value, float):
                assert row[name] == value, (name, key(row))
            elif name.endswith(("accuracy", "fidelity", "error")):
                assert abs(row[name] - value) < 0.05, (name, key(row))
            elif name not in NOISE:
                assert math.isclose(row[name], value, rel_tol=0.02, abs_tol=1e-3), (name, key(row))


def test_its_rows_and_settings_are_read(interrupted, config):
    assert config.distillation.arms == ("labels", "offline", "online")
    assert config.distillation.seeds == 2
    rows = read_rows(interrupted).rows
    wanted = [row for row in expected(config.distillation.arms) if row["seed"] == 0]
    assert sorted(map(json.dumps, rows)) == sorted(map(json.dumps, wanted))


def test_it_is_continued(interrupted, config):
    settings = {row["settings"] for row in expected(config.distillation.arms)}
    rows = execute(config, quiet=True)
    assert {row["settings"] for row in rows} == settings
    assert_same(rows, expected(config.distillation.arms))
    units = {str(path.relative_to(interrupted)) for path in interrupted.glob("seeds/*/*")}
    assert units == {
        f"seeds/{seed}/{name}"
        for seed in (0, 1)
        for name in ("teacher", "bounds", "labels", "offline-tau4", "online-tau4")
    }


@pytest.mark.slow
def test_it_is_extended_by_a_seed_and_arms(interrupted, config):
    shutil.rmtree(interrupted / "seeds" / "1")
    arms = ("labels", "offline", "online", "matched", "self")
    rows = execute(config.replace(arms=arms), quiet=True)
    assert_same(rows, expected(arms))


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, ["td3c5066337d"]),
        (
            {"assistant": "mlp8x1", "teacher_data": "symmetric_noise", "teacher_noise": 0.2},
            ["t8e2976b1cd9", "tee008c3228d"],
        ),
    ],
)
def test_shared_teachers_keep_their_folders(config, changes, names):
    config = config.replace(**changes)
    dataset = load_dataset(config)
    trainers = teacher_trainers(config, dataset)
    settings = training_settings(config, config.distillation.teacher, trainers["teacher"], dataset)
    found = [folder_name(settings)]
    if config.distillation.assistant is not None:
        own = training_settings(
            config, config.distillation.assistant, trainers["assistant"], dataset
        )
        found.append(folder_name(assistant_settings(config, own, settings)))
    assert found == names


def test_every_setting_of_an_old_file_is_known(interrupted):
    """And what a later version adds is, for an old run, what that version did before it had it."""
    stored = json.loads((interrupted / "config.json").read_text())
    again = to_json(read_config(interrupted / "config.json"))
    for name in ("student_optimizer", "teacher_optimizer"):
        later = {key: again[name].pop(key) for key in again[name].keys() - stored[name].keys()}
        assert later == {key: BEFORE[name][key] for key in later}
    assert {name: again[name] for name in stored} == stored
    assert RunConfig().identity().keys() >= {"dataset", "alpha", "ntk_size"}

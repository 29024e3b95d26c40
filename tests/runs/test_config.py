"""A configuration survives its own file, and bad settings are named."""

import json

import numpy as np
import pytest

from kdtheory.cli import parse
from kdtheory.commands.run import Run
from kdtheory.errors import InputError
from kdtheory.runs import RunConfig, from_json, read_config, to_json
from kdtheory.runs.config_file import recipe
from kdtheory.runs.identity import BEFORE, known_before, settings_hash
from kdtheory.training import OptimizerConfig
from kdtheory.training.optimizers import make_schedule


def test_round_trip_through_the_file(tmp_path):
    config = RunConfig.of(
        task="odd_even", temperatures=(2.0, 8.0), arms=("online",), train_size=100,
        student_optimizer=OptimizerConfig(optimizer="adam", learning_rate=1e-3), augment=True,
    )  # fmt: skip
    path = tmp_path / "config.json"
    path.write_text(json.dumps(to_json(config)))
    assert read_config(path) == config


def test_whole_numbers_serve_as_real_ones():
    assert from_json({"temperatures": [1, 4], "label_noise": 0}).distillation.temperatures == (
        1.0,
        4.0,
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"epoch": 3},
            "unknown setting in file: 'epoch'; did you mean 'epochs'. known: accuracy_points",
        ),
        ({"epochs": "three"}, "file: .*epochs"),
        ({"kernel": "block"}, "'block'; known: full, none, trace"),
        ({"arms": ["labels", "online2"]}, "online2"),
        ({"arms": []}, "at least one arm"),
        ({"temperatures": [0.0]}, "temperature tau must be above 0"),
        ({"temperatures": []}, "at least one temperature"),
        ({"temperatures": [1.0, 1.0]}, "temperatures must differ"),
        ({"alpha": 2.0}, r"alpha must lie in \[0, 1\]"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"seeds": 0}, "seeds must be at least 1"),
        ({"seeds": 10**12}, "seeds must be at most 100,000"),
        ({"label_noise": 1.5}, "label_noise must lie in"),
        ({"ridge": -1.0}, "ridge must be at least 0"),
        ({"student_optimizer": {"learning_rate": -1.0}}, "learning rate must be a number above 0"),
        ({"student_optimizer": {"learning_rate": float("inf")}}, "finite, got inf"),
        ({"teacher_optimizer": {"weight_decay": float("inf")}}, "finite, got inf"),
        ({"student_optimizer": {"optimizer": "lion"}}, "'lion'; known: adam, sgd"),
    ],
)
def test_bad_settings(values, message):
    with pytest.raises(InputError, match=message) as caught:
        from_json(values, "file")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"temperatures": 4}, r"temperatures must be a list, such as \[4\]"),
        ({"arms": "labels"}, r'arms must be a list, such as \["labels"\]'),
        ({"image_size": 32}, r"image_size must be a list, such as \[32\]"),
    ],
)
def test_one_value_is_no_list(values, message):
    for read in (lambda: from_json(values, "file"), lambda: RunConfig.of(**values)):
        with pytest.raises(InputError, match=message) as caught:
            read()
        assert "\n" not in str(caught.value)


def test_paths_and_numpys_numbers_become_pythons(tmp_path):
    config = RunConfig.of(out=tmp_path / "run", epochs=np.int64(3), alpha=np.float32(0.5))
    assert json.loads(json.dumps(to_json(config)))["epochs"] == 3
    assert from_json(to_json(config)) == config


def test_a_setting_is_what_it_is_when_it_is_read_back():
    """Or a run that Python began would have another hash than its own file gives it."""
    config = RunConfig.of(temperatures=(2, 8), alpha=1)
    again = from_json(json.loads(json.dumps(to_json(config))))
    assert json.dumps(to_json(again)) == json.dumps(to_json(config))
    assert settings_hash(again.identity(), "0") == settings_hash(config.identity(), "0")
    assert to_json(config)["temperatures"] == [2.0, 8.0]


def test_a_byte_order_mark_is_no_setting_and_latin_1_is_named(tmp_path):
    path = tmp_path / "config.json"
    path.write_bytes(b"\xef\xbb\xbf" + b'{"epochs": 3}')
    assert read_config(path).training.epochs == 3
    path.write_bytes('{"out": "caf\u00e9"}'.encode("latin-1"))
    with pytest.raises(InputError, match="is not UTF-8 text"):
        read_config(path)


def test_close_temperatures_have_folders_of_their_own():
    arms = RunConfig.of(arms=("online",), temperatures=(1.0, 1.0000001)).arm_list()
    assert len({arm.slug for arm in arms}) == 2


def test_a_demos_file_says_which_to_give(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"ten": {}, "even_odd": {}}')
    with pytest.raises(InputError, match=r"several runs; .*ten/config.json"):
        read_config(path)


@pytest.mark.parametrize("text", ["", "{", "[1]", "3"])
def test_a_file_that_holds_no_settings(tmp_path, text):
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"config.json"):
        read_config(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read_config(tmp_path / "none.json")


def test_arms_come_with_their_temperatures_and_labels_first():
    arms = RunConfig.of(arms=("self", "online", "labels"), temperatures=(1.0, 4.0)).arm_list()
    assert [arm.slug for arm in arms] == ["labels", "online-tau1", "online-tau4", "self-tau1"]


def test_identity_ignores_what_only_extends_a_run():
    config = RunConfig()
    extended = config.replace(seeds=9, arms=("labels",), out="elsewhere")
    assert config.identity() == extended.identity()
    assert config.identity() != config.replace(ridge=0.5).identity()


def test_the_crd_recipe_is_the_tables_protocol_and_flags_override_it(capsys):
    config = recipe("crd")
    assert (config.training.epochs, config.training.batch_size) == (240, 64)
    for optimizer in (config.training.student_optimizer, config.teaching.teacher_optimizer):
        rate = make_schedule(optimizer, 240)
        assert [round(float(rate(epoch)), 6) for epoch in (0, 149, 150, 180, 210)] == [
            0.05, 0.05, 0.005, 0.0005, 0.00005,
        ]  # fmt: skip
    parsed = parse("run", Run, ["--recipe", "crd", "--epochs", "3"]).run
    assert parsed == config.replace(epochs=3)


def test_a_recipe_that_there_is_not_is_one_line():
    with pytest.raises(InputError, match="unknown recipe 'crx'; known: crd"):
        recipe("crx")
    with pytest.raises(InputError, match="--config or --recipe, not both"):
        parse("run", Run, ["--recipe", "crd", "--config", "x.json"])


@pytest.mark.parametrize("parts", [(0.5, 0.4), (0.0,), (1.0,), (0.5, 0.5), (float("nan"),)])
def test_milestones_rise_within_the_training(parts):
    with pytest.raises(InputError, match="milestones must be parts of all steps"):
        OptimizerConfig(schedule="step", milestones=parts)


def test_new_settings_leave_stored_identities_alone():
    before = {k: v for k, v in BEFORE.items() if k != "online_until"}
    for name in ("student_optimizer", "teacher_optimizer"):
        before[name] = {k: v for k, v in before[name].items() if k != "milestones"}
    # The constant is the hash that runs of the first version have.
    assert settings_hash(from_json(known_before(before)).identity(), "0") == "s77b66b4"
    other = {**BEFORE["student_optimizer"], "milestones": [0.625, 0.75, 0.875]}
    changed = {**BEFORE, "student_optimizer": other}
    assert settings_hash(changed, "0") != settings_hash(BEFORE, "0")

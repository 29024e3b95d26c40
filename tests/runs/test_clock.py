"""What a training took: the steps alone, kept beside the checkpoints and in no row."""

import json

import pytest

from kdtheory.rows import checked_row
from kdtheory.runs import clock as clock_file
from kdtheory.runs.clock import Clock, training_seconds
from kdtheory.runs.timed import timed

COMMON = {
    "dataset": "digits", "task": "full", "teacher": "mlp8x1", "student": "mlp8x1",
    "settings": "0" * 8, "seed": 0, "step": 20, "epoch": 1.0, "final": True,
}  # fmt: skip
ACCURACIES = {"train_accuracy": 0.9, "validation_accuracy": 0.8, "test_accuracy": 0.8}


def student(arm, temperature=None, **values):
    return checked_row({
        **COMMON, **ACCURACIES, "kind": "student", "arm": arm, "temperature": temperature,
        "alpha": 1.0, "train_loss": 0.1, "train_fidelity": 0.9, "test_fidelity": 0.9,
        "train_kl": 0.1, "test_kl": 0.1, "ntk_similarity": None, "margin": 0.1, **values,
    })  # fmt: skip


def tuned(arm, rate, chosen):
    return checked_row({
        **COMMON, "kind": "tuning", "arm": arm, "temperature": None, "learning_rate": rate,
        "validation_accuracy": 0.5, "chosen": chosen,
    })  # fmt: skip


def test_compiling_and_measuring_are_not_counted(tmp_path, monkeypatch):
    now = iter([100.0, 102.0, 150.0, 151.0])
    monkeypatch.setattr(clock_file.time, "monotonic", lambda: next(now))
    clock = Clock()
    clock.step(4)  # the first program ends: its compilation lies before
    clock.step(8)
    clock.pause()  # 48 seconds of measuring
    clock.step(12)
    clock.step(16)
    assert (clock.seconds, clock.timed_steps) == (3.0, 8)
    clock.write(tmp_path, 16)
    assert training_seconds(tmp_path) == 6.0


def test_a_network_that_is_only_read_keeps_its_time(tmp_path):
    (tmp_path / "seconds.json").write_text('{"seconds": 1.0, "timed_steps": 2, "steps": 4}')
    Clock().write(tmp_path, 4)
    assert training_seconds(tmp_path) == 2.0


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"seconds": -1, "timed_steps": 2, "steps": 4}',
     '{"seconds": 1, "timed_steps": 0, "steps": 4}',
     '{"seconds": "Infinity", "timed_steps": 1, "steps": 4}'],
)  # fmt: skip
def test_a_file_that_tells_no_time(text, tmp_path):
    assert training_seconds(tmp_path) is None
    (tmp_path / "seconds.json").write_text(text)
    assert training_seconds(tmp_path) is None


def test_students_of_a_run_with_their_chosen_rates_folder_and_stage(tmp_path):
    def write(name, seconds):
        folder = tmp_path / "seeds" / "0" / name
        folder.mkdir(parents=True)
        whole = {"seconds": seconds, "timed_steps": 20, "steps": 20}
        (folder / "seconds.json").write_text(json.dumps(whole))

    write("labels-rate0.1", 1.0)
    write("labels-rate0.2", 2.0)
    write("sskd-tau4", 3.0)
    write("sskd-tau4-stage", 0.5)
    rows = [
        tuned("labels", 0.1, False), tuned("labels", 0.2, True), student("labels"),
        student("sskd", 4.0), student("crd"), student("labels", final=False),
    ]  # fmt: skip
    found = [row.get("training_seconds") for row in timed(rows, tmp_path)]
    assert found == [None, None, 2.0, 3.5, None, None]
    assert all("training_seconds" not in row for row in rows)

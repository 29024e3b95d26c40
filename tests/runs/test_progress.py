"""What a run shows, and the event files that TensorBoard reads."""

import sys
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event

from kdtheory.errors import InputError
from kdtheory.runs import RunConfig, execute, progress
from kdtheory.runs.progress import RunProgress
from kdtheory.runs.store import delete_run


def scalars_in(folder):
    """Return {tag: [(step, value), ...]} of a folder's event files, as TensorBoard sees them."""
    found = {}
    for path in sorted(folder.glob("events.out.tfevents.*")):
        content, at = path.read_bytes(), 0
        while at < len(content):  # length, its checksum, the record, its checksum
            size = int.from_bytes(content[at : at + 8], "little")
            event = Event.FromString(content[at + 12 : at + 12 + size])
            at += 16 + size
            if event.HasField("session_log"):
                found = {
                    tag: [entry for entry in entries if entry[0] < event.step]
                    for tag, entries in found.items()
                }
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


class Clock:
    """Time that passes when the test says so."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def work(shown, clock, *, steps=(4, 8, 12), seconds=(5.0, 1.0, 1.0), accuracy=0.625):
    """A network of 12 steps: its first program takes 5 s to compile, measuring takes 60 s."""
    shown.networks(1)
    shown.network("seed 0: student net, labels", 12, folder="0-labels")
    for step, taken in zip(steps, seconds, strict=True):
        clock.now += taken
        shown.step(step, 1.0 / step)
    clock.now += 60.0
    shown.measured(steps[-1], [{"kind": "student", "test_accuracy": accuracy}])


def test_a_line_has_seconds_speed_and_accuracy(capsys, clock):
    with RunProgress(batch_size=32) as shown:
        work(shown, clock)
        shown.network_done()
    # 8 steps of 32 images in the two seconds after the first program.
    assert capsys.readouterr().err == (
        "seed 0: student net, labels: 67.0 s, 128 images/s, test accuracy 62.5 %\n"
    )


def test_measuring_is_not_training(capsys, clock):
    with RunProgress(batch_size=32) as shown:
        work(shown, clock)
        clock.now += 2.0
        shown.step(20, 0.1)  # as fast as before
        shown.network_done()
    assert ", 128 images/s," in capsys.readouterr().err


def test_a_network_that_is_read_has_neither(capsys, clock):
    with RunProgress(batch_size=32) as shown:
        shown.network("seed 0: teacher net", 12, folder="0-teacher")
        clock.now += 0.5
        shown.network_done()
    assert capsys.readouterr().err == "seed 0: teacher net: 0.5 s\n"


def test_a_terminal_shows_loss_speed_accuracy_and_time_left(monkeypatch, clock):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with RunProgress(batch_size=32, quiet=True) as shown:
        work(shown, clock)
        (_, task) = shown._bars.tasks
        assert task.fields["note"] == "loss 0.083, 128 images/s, test accuracy 62.5 %"
        assert (task.completed, task.total) == (12, 12)
        names = {type(column).__name__ for column in shown._bars.columns}
        assert {"TimeElapsedColumn", "TimeRemainingColumn"} <= names


def test_a_run_says_how_long_it_takes_as_soon_as_steps_are_timed(capsys, clock):
    with RunProgress(batch_size=32) as shown:
        shown.networks(6)
        shown.networks_done(1)  # found stored
        shown.network("seed 0: teacher net", 1200, folder="0-teacher")
        for step in range(1, 8):  # the first waits for its compilation
            clock.now += 10.0 if step == 1 else 1.0
            shown.step(step, 0.5)
    assert capsys.readouterr().err == (
        "seed 0: teacher net: its training takes about 20 min; 5 networks are to be trained: about "
        "1 h 40 min if they are alike, and the measuring\n"
    )


def test_event_files_say_what_was_shown(tmp_path, clock):
    with RunProgress(quiet=True, batch_size=32, events=tmp_path) as shown:
        work(shown, clock)
    found = scalars_in(tmp_path / "0-labels")
    assert [step for step, _ in found["loss"]] == [4, 8, 12]
    assert [value for _, value in found["loss"]] == pytest.approx([1 / 4, 1 / 8, 1 / 12])
    assert found["images_per_second"] == [(8, 128.0), (12, 128.0)]
    assert found["accuracy/test"] == [(12, 0.625)]


def test_a_network_that_went_back_is_counted_once(tmp_path, clock):
    """Killed at step 12, it measures what was stored at step 4 and goes on from there."""
    with RunProgress(quiet=True, batch_size=32, events=tmp_path) as shown:
        work(shown, clock)
    with RunProgress(quiet=True, batch_size=32, events=tmp_path) as shown:
        shown.network("seed 0: student net, labels", 12, folder="0-labels")
        shown.measured(4, [{"kind": "student", "test_accuracy": 0.5}])
        for step in (8, 12):
            clock.now += 1.0
            shown.step(step, 2.0 / step)
        shown.measured(12, [{"kind": "student", "test_accuracy": 0.75}])
    found = scalars_in(tmp_path / "0-labels")
    assert found["loss"] == [(4, 0.25), (8, 0.25), (12, pytest.approx(1 / 6))]
    assert found["accuracy/test"] == [(4, 0.5), (12, 0.75)]


def test_without_the_extra_one_line_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(InputError, match=r"pip install 'kdtheory\[tensorboard\]'") as caught:
        execute(RunConfig.of(tensorboard=True, out=str(tmp_path / "run")), quiet=True)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_run_with_cutout_and_mixup_writes_event_files(tiny):
    config = tiny.replace(
        arms=("online",), temperatures=(4.0,), cutout=2, mixup=0.4, tensorboard=True
    )
    assert "tensorboard" not in config.identity()
    rows = execute(config, quiet=True)
    out = Path(tiny.output.out) / "tensorboard"
    assert {path.name for path in out.iterdir()} == {"0-teacher", "0-online-tau4"}
    found = scalars_in(out / "0-online-tau4")
    (last,) = [row for row in rows if row["kind"] == "student" and row["final"]
               and row["arm"] == "online"]  # fmt: skip
    assert found["accuracy/test"][-1] == (last["step"], pytest.approx(last["test_accuracy"]))
    (adjusted,) = [
        row["adjusted_complexity"] for row in rows
        if row["kind"] == "complexity" and row["final"] and row["arm"] == "online"
        and (row["supervision"], row["supervision_temperature"]) == ("online", 4.0)
    ]  # fmt: skip
    assert found["adjusted_complexity/online-tau4"][-1][1] == pytest.approx(adjusted, rel=1e-6)
    assert len(scalars_in(out / "0-teacher")["accuracy/train"]) == 4
    delete_run(Path(tiny.output.out))
    assert not out.exists()


@pytest.mark.parametrize(
    ("setting", "message"),
    [({"cutout": -1}, "cutout must be at least 0"), ({"mixup": float("nan")}, "mixup must be")],
)
def test_numbers_out_of_range(setting, message):
    with pytest.raises(InputError, match=message):
        RunConfig.of(**setting)


def test_a_cutout_as_large_as_the_images_is_refused(tiny):
    with pytest.raises(InputError, match=r"cutout must be below the images' \d+ pixels"):
        execute(tiny.replace(cutout=32), quiet=True)

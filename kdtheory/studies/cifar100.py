"""All of CIFAR-100: does an online teacher beat the finished one, and from which length on?"""

from typing import Any

from kdtheory.runs.config import RunConfig
from kdtheory.studies.accuracy import analyse
from kdtheory.studies.setting import learnable_setting, setting
from kdtheory.studies.study import Expectation, Size, Study

#: Epochs of a student's training; its teacher is the same.
_EPOCHS: dict[Size, tuple[int, ...]] = {"smoke": (2,), "small": (10, 40), "full": (40, 160)}


def cases(size: Size) -> dict[str, RunConfig]:
    """Return a run a student and length of its training, named STUDENT-EPOCHS-epochs."""
    arms: dict[str, Any] = {"arms": ("labels", "offline", "online"), "temperatures": (1.0, 4.0)}
    if size == "smoke":
        return {"mlp8x1-2-epochs": setting(size, **arms)}
    # Two rates: a training of this length is no small part of an hour.
    changes: dict[str, Any] = {
        "task": "full", "train_size": None, "validation_size": 5_000, "batch_size": 128,
        "tune": (0.03, 0.1), "accuracy_points": 11,
    }  # fmt: skip
    if size == "full":
        changes |= {"image_size": None, "teacher_epochs": 160, "tune": (0.01, 0.03, 0.1)}
    students = ("lenet5x8",) if size == "small" else ("lenet5x8", "resnet8")
    return {
        f"{student}-{epochs}-epochs": learnable_setting(
            size, student=student, epochs=epochs, **changes, **arms
        )
        for student in students
        for epochs in _EPOCHS[size]
    }


CIFAR100 = Study(
    name="cifar100",
    question="All of CIFAR-100: from which length on does an online teacher beat the finished one?",
    expected=(
        "The paper's largest gain of online over offline distillation is LeNet-5x8's under "
        "ResNet-56, on CIFAR-100 at 32 x 32. A student that trains for as short as its teacher is "
        "said to profit most: the checkpoints are then as simple as it is."
    ),
    cases=cases,
    costs={
        "smoke": "seconds",
        "small": "6 h of two cores by estimate, in parts; not run to its end",
        "full": "needs an accelerator; not measured",
    },
    expectations=(
        Expectation(
            "offline above labels, all of CIFAR-100",
            ("offline, τ = 4 above labels",),
            in_readme=False,
        ),
        Expectation("online above offline, all of CIFAR-100", ("above offline",), in_readme=False),
    ),
    analyse=analyse,
)

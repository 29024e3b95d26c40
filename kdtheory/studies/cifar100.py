"""All of CIFAR-100: does an online teacher beat the finished one, and from which length on?"""

from typing import Any

from kdtheory.runs.config import RunConfig
from kdtheory.studies.accuracy import analyse
from kdtheory.studies.setting import learnable_setting
from kdtheory.studies.study import Expectation, Size, Study

#: Epochs of a student's training; its teacher is the same.
_EPOCHS: dict[Size, tuple[int, ...]] = {"smoke": (2,), "small": (5, 15), "full": (40, 160)}

#: Whatever the size, of the images: all that are not held back.
_ALL_IMAGES: dict[str, Any] = {
    "task": "full", "train_size": None, "validation_size": 5_000, "batch_size": 128,
}  # fmt: skip

#: An epoch of LeNet-5x8 is most of a minute of two cores, as one of ResNet-20: three arms and two
#: rates, so that a seed of everything is a matter of two hours.
_CHANGES: dict[Size, dict[str, Any]] = {
    "smoke": {"arms": ("labels", "offline", "online"), "temperatures": (1.0, 4.0)},
    "small": {
        **_ALL_IMAGES, "arms": ("labels", "offline", "online"), "temperatures": (4.0,),
        "tune": (0.03, 0.1), "teacher_epochs": 20, "teacher_checkpoints": 10, "points": 2,
    },
    "full": {
        **_ALL_IMAGES, "arms": ("labels", "offline", "online", "self"), "temperatures": (1.0, 4.0),
        "tune": (0.01, 0.03, 0.1), "image_size": None, "teacher_epochs": 160,
    },
}  # fmt: skip
_STUDENTS: dict[Size, tuple[str, ...]] = {
    "smoke": ("mlp8x1",), "small": ("lenet5x8",), "full": ("lenet5x8", "resnet8"),
}  # fmt: skip


def cases(size: Size) -> dict[str, RunConfig]:
    """Return a run a student and length of its training, named STUDENT-EPOCHS-epochs."""
    return {
        f"{student}-{epochs}-epochs": learnable_setting(
            size, student=student, epochs=epochs, **_CHANGES[size]
        )
        for student in _STUDENTS[size]
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
        "small": "2 to 4 h of two cores by estimate, in parts; not run to its end",
        "full": "needs an accelerator; not measured",
    },
    varied={"fit": "how long a student is trained is what this study varies"},
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

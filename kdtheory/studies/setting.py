"""The setting that the studies share, in three sizes: binary CIFAR-100, teacher and student.

One setting, so that the studies share their teachers: runs that differ in the student, the arm, the
temperature, the teacher's stopping time or its perturbation train one teacher a seed.
"""

from typing import Any

from kdtheory.runs.config import RunConfig
from kdtheory.studies.study import Size
from kdtheory.training import OptimizerConfig

#: Optimisers of the published results, from before the defaults clipped gradients.
STUDENT_OPTIMIZER = OptimizerConfig(learning_rate=0.01, gradient_clip=None)
TEACHER_OPTIMIZER = OptimizerConfig(learning_rate=0.05, gradient_clip=None)

#: Two cores: an eighth of CIFAR-100, a small teacher trained with augmentation, the weakest student
#: without, so that its targets are fixed and its teacher's logits are read off a table.
SMALL = RunConfig.of(
    dataset="cifar100",
    task="first_half",
    train_size=6_000,
    validation_size=1_000,
    test_size=5_000,
    teacher="resnet8",
    student="lenet5x1",
    epochs=20,
    teacher_checkpoints=20,
    batch_size=128,
    teacher_augment=True,
    student_optimizer=STUDENT_OPTIMIZER,
    teacher_optimizer=TEACHER_OPTIMIZER,
    points=3,
    ntk_size=1024,
    compilation_cache=True,
)

#: The paper's sizes.
FULL = SMALL.replace(
    train_size=None,
    validation_size=0,
    test_size=None,
    teacher="resnet56",
    student="lenet5x8",
    epochs=160,
    teacher_checkpoints=64,
    points=11,
    ntk_size=4096,
    compute_dtype="bfloat16",
)

#: Made-up images and networks of a few units: everything runs, nothing is learnt.
SMOKE = RunConfig.of(
    dataset="synthetic",
    task="odd_even",
    train_size=32,
    validation_size=16,
    test_size=32,
    teacher="mlp16x1",
    student="mlp8x1",
    epochs=2,
    teacher_checkpoints=2,
    batch_size=16,
    student_optimizer=STUDENT_OPTIMIZER,
    teacher_optimizer=TEACHER_OPTIMIZER,
    steps_per_dispatch=1,
    seeds=2,
    points=2,
    ntk_size=16,
    ridge=1e-2,
)

#: What is learnable in minutes: CIFAR-100's 20 superclasses at 16 x 16, under ResNet-20. Their test
#: set has 10,000 images, five times as many as 20 of the classes. Students see the images as they
#: are, so that a teacher's logits are read off a table; the teacher is augmented. Each arm has its
#: own learning rate, chosen on the validation images at seed 0.
LEARNABLE = RunConfig.of(
    dataset="cifar100",
    task="coarse_label",
    image_size=(16, 16),
    train_size=9_000,
    validation_size=1_000,
    test_size=None,
    teacher="resnet20",
    student="lenet5x2",
    # Half of the usual: of 1,000 images 54 epochs are 864 updates.
    batch_size=64,
    epochs=54,
    tune=(0.01, 0.03, 0.1, 0.3),
    student_optimizer=OptimizerConfig(
        learning_rate=0.03, schedule="step", milestones=(3 / 8, 6 / 8, 7 / 8)
    ),
    teacher_epochs=40,
    teacher_checkpoints=20,
    teacher_augment=True,
    # The teacher is ready when half of the student's training is left.
    online_until=0.5,
    kernel="trace",
    ntk_size=256,
    points=3,
    compilation_cache=True,
)

#: The same for theory, which is about binary tasks, and for studies that train many networks:
#: animals and people against plants and things.
BINARY = LEARNABLE.replace(
    task="animals",
    train_size=1_000,
    # Of the four rates above these are the ones that arms chose with so many images.
    tune=(0.03, 0.1),
    kernel="full",
    ntk_size=512,
    points=2,
)

#: Of these each bound takes its best, as multiples of the kernel's mean diagonal entry: what is
#: learnt with the ridge of the complexities has so large a norm that its bound says nothing.
BOUND_RIDGES = (1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0, 1000.0)

_SETTINGS: dict[Size, RunConfig] = {"smoke": SMOKE, "small": SMALL, "full": FULL}


def setting(size: Size, **changes: Any) -> RunConfig:
    """Return the shared setting of a size, with some settings changed.

    >>> setting("small", temperatures=(4.0,)).distillation.teacher
    'resnet8'
    """
    return _SETTINGS[size].replace(**changes)


def learnable_setting(size: Size, **changes: Any) -> RunConfig:
    """Return the setting in which students nearly fit and teachers are well above them.

    Full trains a larger teacher for longer, and measures larger kernels.

    >>> learnable_setting("small", train_size=1000).data.task
    'coarse_label'
    """
    if size == "smoke":
        return setting(size, **changes)
    larger = {"teacher": "resnet56", "teacher_epochs": 160, "ntk_size": 1024, "seeds": 5}
    return LEARNABLE.replace(**{**(larger if size == "full" else {}), **changes})


def binary_setting(size: Size, **changes: Any) -> RunConfig:
    """Return the binary task whose setting is healthy; full has the paper's, which was not run.

    >>> binary_setting("small").data.task, binary_setting("full").data.task
    ('animals', 'first_half')
    """
    return BINARY.replace(**changes) if size == "small" else setting(size, **changes)

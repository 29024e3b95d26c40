"""The settings of a run's teacher."""

from dataclasses import field
from typing import Literal, get_args

from kdtheory.datasets.corrupted import TeacherData
from kdtheory.errors import InputError
from kdtheory.memory import parse_bytes
from kdtheory.settings import check_choices, check_minimum, settings_group
from kdtheory.training import OptimizerConfig

MatchedOn = Literal["complexity", "over_rms"]


@settings_group
class TeachingConfig:
    """How the teacher is trained, and what is done to it before students see it."""

    teacher_epochs: int | None = None
    """The teacher's passes (default: the student's)."""
    teacher_optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """The teacher's optimiser and learning-rate schedule."""
    teacher_checkpoints: int = 10
    """Evenly spaced checkpoints of the teacher: the online teacher's steps. At the ends of epochs;
    with more than there are epochs, at multiples of steps_per_dispatch, as many as there are."""
    online_checkpoints: int | None = None
    """How many of the teacher's checkpoints the online teacher uses, evenly spaced and the last
    among them (default: all)."""
    online_until: float | None = None
    """Part of the student's steps, in (0, 1], over which the online teacher's checkpoints are
    spread; the last one teaches for the rest (default: at each of the student's steps, the teacher
    of the same step)."""
    matched_on: MatchedOn = "complexity"
    """Of what the matched arm's teacher takes on the same part as a student on labels: complexity
    Y'(K + lambda I)^-1 Y, or over_rms, the same over the targets' mean square, which does not grow
    because targets do."""
    teacher_augment: bool | None = None
    """Whether the teacher is trained with augmentation (default: as the students)."""
    teacher_data: TeacherData = "train"
    """What the teacher is trained on: the student's train split, the validation split, the train
    split with more label noise (symmetric_noise, pair_noise), random_labels or
    permuted_classes. Its accuracies are still those on the student's splits and labels."""
    teacher_noise: float | None = None
    """Fraction of labels changed for the teacher alone, with the two noises of teacher_data (drawn
    from data_seed)."""
    teacher_stop: float = 1.0
    """Part of the teacher's training, in (0, 1], after which it is stopped: its last checkpoint up
    to there (at least its first one) is the offline teacher, and the online teacher's last. The
    learning-rate schedule stays that of the whole training."""
    teacher_perturbation: float = 0.0
    """Gaussian noise added to every checkpoint's parameters, as a multiple of each array's root
    mean square, drawn anew for each checkpoint; BatchNorm's statistics stay."""
    teacher_logits: str | None = None
    """A trained teacher's logits instead of a teacher network: .npy (n, d), or (m, n, d) of m
    checkpoints, of kdtheory data export's train/images.npy; .npz or .safetensors with train, and if
    wanted test, validation, ids, steps."""
    teacher_function: str | None = None
    """A trained teacher as a function of a NumPy batch, by the name that it is registered by in a
    file for --import: asked once about every image, when the command starts."""
    teacher_variables: tuple[str, ...] = ()
    """A trained teacher's parameters instead of its training: an orbax folder, a .msgpack of Flax
    or a .safetensors with all arrays of the model --teacher, by name and shape; several are its
    checkpoints in time, for the online arms."""
    teachers: str | None = None
    """Folder of trained teachers that runs share: those of one data set and teacher setting are
    trained once (default: each run keeps its own). What is done to them afterwards (teacher_stop,
    teacher_perturbation, online_checkpoints) may differ."""

    teacher_cache: bool = False
    """Compute the teacher's logits on each epoch's augmented images once, and keep them for all
    students of these images, in float16: their rounding, of one part in 2048, is the only change.
    They lie in OUT/views, or in TEACHERS/views for all runs that share teachers. Without
    augmentation logits are looked up anyway."""
    teacher_cache_budget: str = "8GiB"
    """What the logits of --teacher-cache may take on the disk; further epochs are computed for each
    student anew, and the run says so. The folder may be deleted at any time: it is made again."""

    def check(self) -> None:
        """Raise InputError if a setting is out of range."""
        parse_bytes(self.teacher_cache_budget)
        check_choices(
            self, {"teacher_data": get_args(TeacherData), "matched_on": get_args(MatchedOn)}
        )
        check_minimum(self, teacher_epochs=1, teacher_checkpoints=1, online_checkpoints=1)
        if self.online_until is not None and not 0 < self.online_until <= 1:
            raise InputError(f"online_until must lie in (0, 1], got {self.online_until}")
        if not 0 < self.teacher_stop <= 1:
            raise InputError(f"teacher_stop must lie in (0, 1], got {self.teacher_stop}")
        if not 0 <= self.teacher_perturbation < float("inf"):
            raise InputError(
                f"teacher_perturbation must be at least 0, got {self.teacher_perturbation}"
            )
        if not self.given:
            return
        if len(self.given) > 1:
            raise InputError(f"give {' or '.join(self.given)}, not both")
        (given,) = self.given
        for name in (
            "teacher_epochs", "teacher_data", "teacher_stop", "teacher_perturbation", "teachers",
        ):  # fmt: skip
            if getattr(self, name) != type(self).__dataclass_fields__[name].default:
                flag = "--" + name.replace("_", "-")
                raise InputError(f"{flag} is for a teacher that is trained; that of {given} is not")

    @property
    def given(self) -> tuple[str, ...]:
        """The flags that give a trained teacher."""
        names = ("teacher_logits", "teacher_function", "teacher_variables")
        return tuple("--" + name.replace("_", "-") for name in names if getattr(self, name))

    @property
    def logits_of(self) -> str | None:
        """What gives the teacher's logits, without a network: a file's path or a function's name.

        None where a network does.
        """
        return self.teacher_logits or self.teacher_function

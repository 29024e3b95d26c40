"""The configuration of a run: one teacher, one student, every arm, several seeds."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import dacite

from kdtheory.datasets import NoiseKind, TeacherData
from kdtheory.errors import InputError, unknown_name
from kdtheory.targets import Form, check_alpha, check_temperature
from kdtheory.training import ComputeDtype, OptimizerConfig

ArmName = Literal["labels", "offline", "online", "matched", "self"]
Kernel = Literal["full", "trace"]
NtkSplit = Literal["train", "test"]
Together = Literal["none", "seeds", "arms"]

#: Self-distillation has one arm, at this temperature.
SELF_TEMPERATURE = 1.0


class Arm(NamedTuple):
    """One way to supervise a student."""

    name: ArmName
    temperature: float | None
    """tau of the teacher's targets; None for labels."""

    @property
    def slug(self) -> str:
        """The arm's name in paths and messages, such as "online-tau4"."""
        if self.temperature is None:
            return self.name
        short = f"{self.temperature:g}"
        # Two temperatures never share a folder, however close they are.
        exact = short if float(short) == self.temperature else repr(self.temperature)
        return f"{self.name}-tau{exact}"


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """Train a teacher and students on every arm; measure the complexity of each supervision."""

    dataset: str = "digits"
    """digits, synthetic, folder:ROOT (ROOT/train/CLASS/*.png), or any TFDS image classification
    set (cifar10, cifar100, ...)."""
    task: str = "full"
    """full (all classes), binary: first_half, odd_even, even_odd, or some of the classes, by index,
    range or name: classes:3,5,8-11."""
    data_dir: str | None = None
    """Folder of the prepared TFDS sets (default: $KDTHEORY_DATA_DIR, else TFDS's own)."""
    train_size: int | None = None
    """Training examples, drawn evenly from the classes (default: all but validation's)."""
    validation_size: int | None = None
    """Examples held out of the training split (default: a tenth, or what is left)."""
    test_size: int | None = None
    """Test examples (default: all)."""
    test_fraction: float | None = None
    """Part of the training split that is held out for testing, for sets without a test split."""
    image_size: tuple[int, int] | None = None
    """Height and width to resize to; needed where images differ in size."""
    label_noise: float = 0.0
    """Fraction of the training labels that are replaced by another class."""
    noise_kind: NoiseKind = "symmetric"
    """symmetric (a random other class) or pair (the next class)."""
    data_seed: int = 0
    """Seed of the subsample and of the label noise, the same for every training seed."""

    teacher: str = "resnet20"
    """Name of the teacher's model."""
    student: str = "lenet5x1"
    """Name of the student's model."""
    arms: tuple[ArmName, ...] = ("labels", "offline", "online", "self")
    """How students are supervised; matched is online distillation whose teacher changes in step
    with the complexity that a student on labels has taken on, instead of by time."""
    temperatures: tuple[float, ...] = (1.0, 4.0)
    """tau of the offline and online arms, and of the supervisions measured."""
    alpha: float = 1.0
    """Weight of the teacher in the loss and in the targets; the labels get 1 - alpha."""

    epochs: int = 20
    """Passes over the training split that a student makes."""
    teacher_epochs: int | None = None
    """The teacher's passes (default: the student's)."""
    teacher_checkpoints: int = 10
    """Evenly spaced checkpoints of the teacher: the online teacher's steps. At the ends of epochs;
    with more than there are epochs, at multiples of steps_per_dispatch, as many as there are."""
    online_checkpoints: int | None = None
    """How many of the teacher's checkpoints the online teacher uses, evenly spaced and the last
    among them (default: all)."""
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
    assistant: str | None = None
    """Model of a teacher assistant: distilled from the teacher (offline, at the last temperature,
    with the teacher's optimiser, epochs and augmentation), then the teacher of the students. The
    table's teacher is then the assistant."""
    teachers: str | None = None
    """Folder of trained teachers that runs share: those of one data set and teacher setting are
    trained once (default: each run keeps its own). What is done to them afterwards (teacher_stop,
    teacher_perturbation, online_checkpoints) may differ."""
    batch_size: int = 128
    """Examples an update."""
    augment: bool = False
    """The data set's usual augmentation: random crops and, but for written characters, flips."""
    cutout: int = 0
    """Side, in pixels, of the square that is cut out of every training image, of teacher and
    students; 0 for none."""
    mixup: float = 0.0
    """alpha of mixup's weight ~ Beta(alpha, alpha), of teacher and students; 0 for none."""
    teacher_augment: bool | None = None
    """Whether the teacher is trained with augmentation (default: as the students)."""
    student_optimizer: OptimizerConfig = field(
        default_factory=lambda: OptimizerConfig(learning_rate=0.01)
    )
    """The student's optimiser and learning-rate schedule."""
    teacher_optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """The teacher's optimiser and learning-rate schedule."""
    steps_per_dispatch: int | None = None
    """Training steps in one compiled program (default: chosen for the backend)."""
    compute_dtype: ComputeDtype = "float32"
    """Precision of the products in training; parameters, statistics and losses stay float32, and
    everything is measured in float32."""
    seeds: int = 3
    """Number of repetitions, with seeds 0, 1, 2, ..."""
    together: Together = "none"
    """Which students train together: none, the seeds of an arm, or its temperatures (arms) too.
    CPUs run the programs of students with convolutions side by side, with each one's numbers bit
    for bit; else one program serves all, whose numbers are those to rounding."""

    points: int = 5
    """Evenly spaced points of a student's training at which complexity is measured."""
    ntk_size: int = 512
    """Training examples of the kernel."""
    ntk_split: NtkSplit = "train"
    """Which examples the kernel is measured on; test for examples that no network was trained
    on."""
    similarity_size: int = 0
    """Test examples on which the last epoch's kernels of student and teacher are compared; 0 for
    none. (On training examples they always are.)"""
    bounds: bool = False
    """Whether the terms of the teacher-student bound are computed, of each supervision, with the
    kernel at initialisation (binary tasks); certificates with ntk_split test, and diagnostics on
    training examples, whose pixels normalise the images."""
    kernel: Kernel = "full"
    """full: the (n d, n d) kernel of all logits; trace: its mean over outputs, for large d."""
    ridge: float = 1e-3
    """lambda of (K + lambda I)^-1, as a multiple of the kernel's mean diagonal entry."""
    ntk_method: str = "auto"
    """How the kernel is computed; neural_tangents is the reference."""
    ntk_batch_size: int | None = None
    """Examples a tile of the kernel (default: chosen from the sizes)."""
    ntk_dtype: Literal["float32", "float64"] = "float64"
    """Precision of the kernel's entries; it is always factorised in float64. float32 is about twice
    as fast, and needs a ridge for the ill-conditioned kernels of trained networks."""
    target_form: Form = "probabilities"
    """Teacher targets as probabilities or as logits / tau."""
    centre_targets: bool = False
    """Take each output's mean over the examples off the targets."""
    residual_targets: bool = False
    """Take the student's initial predictions f(x; w0) off the targets."""

    out: str = "runs/run"
    """Folder of the run; a second call continues what is there."""
    save_seconds: float = 30.0
    """While a network trains, its state is saved as often, besides at its measuring points."""
    tensorboard: bool = False
    """Write TensorBoard event files into OUT/tensorboard (pip install 'kdtheory[tensorboard]')."""
    compilation_cache: bool = False
    """Keep compiled programs in $XDG_CACHE_HOME/kdtheory/xla (~/.cache) for the next run."""

    def __post_init__(self) -> None:
        for arm in self.arms:
            if arm not in get_args(ArmName):
                raise unknown_name("arm", arm, get_args(ArmName))
        if not self.arms:
            raise InputError(f"at least one arm is needed; known: {', '.join(get_args(ArmName))}")
        for temperature in self.temperatures:
            check_temperature(temperature)
        for name in ("arms", "temperatures"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise InputError(
                    f"{name} must differ from each other, got {' '.join(map(str, values))}"
                )
        if not self.temperatures and {"offline", "online", "matched"} & set(self.arms):
            raise InputError("arms with a teacher need at least one temperature above 0")
        if not self.temperatures and self.assistant is not None:
            raise InputError("an assistant needs at least one temperature above 0")
        check_alpha(self.alpha)
        for name, choices in (
            ("kernel", get_args(Kernel)),
            ("noise_kind", get_args(NoiseKind)),
            ("teacher_data", get_args(TeacherData)),
            ("ntk_split", get_args(NtkSplit)),
            ("target_form", get_args(Form)),
            ("ntk_dtype", ("float32", "float64")),
            ("compute_dtype", get_args(ComputeDtype)),
            ("together", get_args(Together)),
        ):
            if getattr(self, name) not in choices:
                raise unknown_name(name, getattr(self, name), choices)
        minimum = {
            "train_size": 1, "validation_size": 0, "test_size": 1, "epochs": 1,
            "teacher_epochs": 1, "teacher_checkpoints": 1, "batch_size": 1, "seeds": 1,
            "points": 2, "ntk_size": 2, "steps_per_dispatch": 1, "ntk_batch_size": 1,
            "online_checkpoints": 1, "similarity_size": 0, "cutout": 0,
        }  # fmt: skip
        for name, least in minimum.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"{name} must be at least {least}, got {value}")
        if not 0 <= self.label_noise <= 1:
            raise InputError(f"label_noise must lie in [0, 1], got {self.label_noise}")
        if not 0 <= self.mixup < float("inf"):
            raise InputError(f"mixup must be at least 0 and finite, got {self.mixup}")
        if not 0 < self.teacher_stop <= 1:
            raise InputError(f"teacher_stop must lie in (0, 1], got {self.teacher_stop}")
        if not 0 <= self.teacher_perturbation < float("inf"):
            raise InputError(
                f"teacher_perturbation must be at least 0, got {self.teacher_perturbation}"
            )
        if not self.save_seconds >= 0:
            raise InputError(f"save_seconds must be at least 0, got {self.save_seconds}")
        if not 0 <= self.ridge < float("inf"):
            raise InputError(f"ridge must be at least 0 and finite, got {self.ridge}")

    def arm_list(self) -> tuple[Arm, ...]:
        """Return every arm with its temperature, labels first.

        >>> [arm.slug for arm in RunConfig(temperatures=(1.0,)).arm_list()]
        ['labels', 'offline-tau1', 'online-tau1', 'self-tau1']
        """
        arms: list[Arm] = []
        for name in get_args(ArmName):
            if name in self.arms:
                if name == "labels":
                    arms.append(Arm(name, None))
                elif name == "self":
                    arms.append(Arm(name, SELF_TEMPERATURE))
                else:
                    arms.extend(Arm(name, temperature) for temperature in self.temperatures)
        return tuple(arms)

    def identity(self) -> dict[str, Any]:
        """Return the settings that a stored measurement depends on.

        More seeds or arms extend a run; where it lies and where the data lies do not matter (the
        store compares the data themselves).
        """
        varying = (
            "seeds", "arms", "out", "data_dir", "save_seconds", "tensorboard", "compilation_cache",
            "teachers",
        )  # fmt: skip
        return {key: value for key, value in to_json(self).items() if key not in varying}


def extended(stored: RunConfig, config: RunConfig) -> RunConfig:
    """Return the configuration with the stored run's arms and seeds added to its own.

    >>> both = extended(RunConfig(arms=("labels",), seeds=3), RunConfig(arms=("online",), seeds=1))
    >>> both.arms, both.seeds
    (('labels', 'online'), 3)
    """
    wanted = {*stored.arms, *config.arms}
    arms = tuple(name for name in get_args(ArmName) if name in wanted)
    return dataclasses.replace(config, arms=arms, seeds=max(stored.seeds, config.seeds))


def to_json(config: RunConfig) -> dict[str, Any]:
    """Return a configuration as JSON's types.

    >>> to_json(RunConfig())["temperatures"]
    [1.0, 4.0]
    """
    return json.loads(json.dumps(dataclasses.asdict(config)))


def from_json(values: dict[str, Any], source: str = "configuration") -> RunConfig:
    """Return the configuration that `to_json` wrote; settings not named keep their defaults.

    Args:
      values: settings by name.
      source: where they come from, for error messages.

    Raises:
      InputError: a setting that does not exist, or a value of the wrong type or out of range.

    >>> from_json({"epochs": 3}).epochs
    3
    """
    known = {entry.name for entry in dataclasses.fields(RunConfig)}
    for name in values:
        if name not in known:
            raise unknown_name(f"setting in {source}:", name, known)
    settings = dacite.Config(cast=[tuple, float], strict=True)
    try:
        return dacite.from_dict(RunConfig, values, settings)
    except dacite.WrongTypeError as error:
        choices = get_args(error.field_type)
        if all(isinstance(choice, str) for choice in choices) and choices:
            name = f"{error.field_path} in {source}:"
            raise unknown_name(name, str(error.value), choices) from error
        raise InputError(f"{source}: {error}") from error
    except InputError:
        raise
    except (dacite.DaciteError, ValueError, TypeError) as error:
        raise InputError(f"{source}: {error}") from error


def read_config(path: Path) -> RunConfig:
    """Read a configuration file: JSON, such as the config.json that a run writes.

    Raises:
      InputError: no such file, not JSON, or a wrong setting.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"config file {path}: {error.strerror}") from error
    except ValueError as error:  # not JSON, or not even text
        raise InputError(f"config file {path} is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise InputError(f"config file {path} must hold a JSON object of settings")
    if values and all(isinstance(value, dict) for value in values.values()):
        inner = path.parent / next(iter(values)) / path.name
        raise InputError(
            f"config file {path} holds several runs; give one of them, such as {inner}"
        )
    return from_json(values, f"config file {path}")

"""The configuration of a run: one teacher, one student, every arm, several seeds.

Settings are nested (`config.training.epochs`); files, flags and sweeps know them by their flat
names: see `kdtheory.settings`.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from kdtheory.arms import ARMS, LABELS, ArmName, Supervision
from kdtheory.datasets.data_config import DataConfig
from kdtheory.errors import InputError, unknown_name
from kdtheory.measure import KernelSpec
from kdtheory.measure.spec import DEFAULT_RIDGE
from kdtheory.methods.registry import METHODS, check_checkpoints
from kdtheory.runs.teaching_config import TeachingConfig
from kdtheory.settings import (
    Groups,
    check_choices,
    check_minimum,
    flat,
    nested,
    settings_group,
)
from kdtheory.targets.arguments import check_alpha, check_temperature
from kdtheory.targets.provider import Form
from kdtheory.training import OptimizerConfig
from kdtheory.training.precision import ComputeDtype

Kernel = Literal["full", "trace", "none"]
NtkSplit = Literal["train", "test"]
Together = Literal["none", "seeds", "arms"]

#: Whoever reads a folder counts its seeds, and 10^12 are written as quickly as 3.
MOST_SEEDS = 100_000

#: Self-distillation has one arm, at this temperature.
SELF_TEMPERATURE = 1.0


@settings_group
class DistillationConfig:
    """Who teaches whom, and how."""

    teacher: str = "resnet20"
    """Name of the teacher's model."""
    student: str = "lenet5x1"
    """Name of the student's model."""
    arms: tuple[ArmName, ...] = ("labels", "offline", "online", "self")
    """How students are supervised: labels, offline, online, matched (online distillation whose
    teacher changes in step with the complexity that a student on labels has taken on, instead of by
    time), self, or methods of the literature: dkd, dist, lskd, rco, one_checkpoint,
    two_checkpoints, dml, crd, sskd, css (see kdtheory methods) and those of --import."""
    temperatures: tuple[float, ...] = (1.0, 4.0)
    """tau of the offline and online arms, and of the supervisions measured."""
    alpha: float = 1.0
    """Weight of the teacher in the loss and in the targets; the labels get 1 - alpha."""
    seeds: int = 3
    """Number of repetitions, with seeds 0, 1, 2, ..."""
    one_teacher: bool = False
    """One teacher, that of seed 0, for the students of every seed (default: one a seed)."""
    same_batches: bool = False
    """The batches and augmented images of seed 0 for the students of every seed, which then differ
    in their initial parameters alone (default: each seed has its own). With --one-teacher one cache
    of the teacher's logits serves all seeds."""
    assistant: str | None = None
    """Model of a teacher assistant: distilled from the teacher (offline, at the last temperature,
    with the teacher's optimiser, epochs and augmentation), then the teacher of the students. The
    table's teacher is then the assistant."""

    def check(self) -> None:
        """Raise InputError if a setting is out of range or does not fit another."""
        for arm in self.arms:
            if arm not in ARMS:
                raise unknown_name("arm", arm, ARMS, registered=True)
        if not self.arms:
            raise InputError(f"at least one arm is needed; known: {', '.join(ARMS)}")
        for temperature in self.temperatures:
            check_temperature(temperature)
        for name in ("arms", "temperatures"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise InputError(
                    f"{name} must differ from each other, got {' '.join(map(str, values))}"
                )
        at_temperatures = {"offline", "online", "matched"} | {
            name for name, method in METHODS.items() if method.route is not None
        }
        if not self.temperatures and at_temperatures & set(self.arms):
            raise InputError("arms with a teacher need at least one temperature above 0")
        if not self.temperatures and self.assistant is not None:
            raise InputError("an assistant needs at least one temperature above 0")
        check_alpha(self.alpha)
        check_minimum(self, seeds=1)
        if self.seeds > MOST_SEEDS:
            raise InputError(f"seeds must be at most {MOST_SEEDS:,}, got {self.seeds}")


@settings_group
class TrainingConfig:
    """How students are trained, and teachers too where nothing else is said."""

    epochs: int = 20
    """Passes over the training split that a student makes."""
    batch_size: int = 128
    """Examples an update."""
    student_optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """The student's optimiser and learning-rate schedule."""
    student_variables: str | None = None
    """Pretrained parameters that every student starts from: an orbax folder, a .msgpack of Flax, a
    .safetensors. Matched by name and shape; what does not match is told and initialised."""
    tune: tuple[float, ...] = ()
    """Peak learning rates, such as 0.01 0.03 0.1: at seed 0 each arm trains a student a rate for
    the whole schedule, and keeps for all seeds the rate of the best last-epoch validation accuracy.
    The budget is arms times rates trainings. The teacher's rate is not tuned. Default: none;
    every arm has the student's learning rate."""
    augment: bool = False
    """The data set's usual augmentation: random crops and, but for written characters, flips."""
    cutout: int = 0
    """Side, in pixels, of the square that is cut out of every training image, of teacher and
    students; 0 for none."""
    mixup: float = 0.0
    """alpha of mixup's weight ~ Beta(alpha, alpha), of teacher and students; 0 for none."""
    steps_per_dispatch: int | None = None
    """Training steps in one compiled program (default: chosen for the backend)."""
    compute_dtype: ComputeDtype = "float32"
    """Precision of the products in training; parameters, statistics and losses stay float32, and
    everything is measured in float32."""
    devices: int = 1
    """Devices that share each batch in training, whose numbers are those of one, to rounding."""
    streamed: bool = False
    """Leave the training images on the host, and send each batch to the device (pip install
    'kdtheory[grain]'): for images that do not fit there. The batches are the same, and so are the
    numbers, to rounding."""
    together: Together = "none"
    """Which students train together: none, the seeds of an arm, or its temperatures (arms) too;
    methods that train more than a student (see kdtheory methods) train one by one.
    CPUs run the programs of students with convolutions side by side, with each one's numbers bit
    for bit; else one program serves all, whose numbers are those to rounding."""

    def check(self) -> None:
        """Raise InputError if a setting is out of range."""
        check_choices(
            self, {"compute_dtype": get_args(ComputeDtype), "together": get_args(Together)}
        )
        check_minimum(self, epochs=1, batch_size=1, steps_per_dispatch=1, cutout=0, devices=1)
        if self.streamed and self.together != "none":
            raise InputError(
                "networks whose images are streamed train one by one; leave together out"
            )
        if len(set(self.tune)) < len(self.tune) or not all(
            0 < rate < float("inf") for rate in self.tune
        ):
            raise InputError(
                "tune must be learning rates above 0 that differ from each other, got "
                f"{' '.join(map(str, self.tune))}"
            )
        if not 0 <= self.mixup < float("inf"):
            raise InputError(f"mixup must be at least 0 and finite, got {self.mixup}")


@settings_group
class MeasuringConfig:
    """What is measured of students, when, and on which kernel."""

    kernel: Kernel = "full"
    """full: the (n d, n d) kernel of all logits; trace: its mean over outputs, for large d; none:
    accuracies, fidelities and margins alone."""
    points: int = 5
    """Evenly spaced points of a student's training at which everything is measured."""
    accuracy_points: int = 0
    """Evenly spaced points at which all but kernels is measured, besides those; 0 for none."""
    ntk_size: int = 512
    """Examples of the kernel."""
    ntk_split: NtkSplit = "train"
    """Which examples the kernel is measured on; test for examples that no network was trained
    on."""
    ridge: float = DEFAULT_RIDGE
    """lambda of (K + lambda I)^-1, as a multiple of the kernel's mean diagonal entry."""
    ridge_absolute: float | None = None
    """lambda itself, in the kernel's unit, instead of --ridge."""
    relative_gap: float = 1e-3
    """Where the kernel does not fit in memory, complexity is an interval that is certain to hold
    the value: how narrow, as (upper - lower) / lower."""
    memory_budget: str | None = None
    """Memory that a kernel, its factor and what they are made with may take, such as 4GiB (default:
    what is free)."""
    ntk_method: str = "auto"
    """How the kernel is computed; neural_tangents is the reference."""
    ntk_batch_size: int | None = None
    """Examples a tile of the kernel (default: chosen from the sizes)."""
    ntk_dtype: Literal["float32", "float64"] = "float64"
    """Precision of the kernel's entries; it is always factorised in float64. float32 is about twice
    as fast, and needs a ridge for the ill-conditioned kernels of trained networks."""
    similarity_size: int = 0
    """Test examples on which the last epoch's kernels of student and teacher are compared; 0 for
    none. (On training examples they always are.)"""
    bounds: bool = False
    """Whether the terms of the teacher-student bound are computed, of each supervision, with the
    kernel at initialisation (binary tasks); certificates with ntk_split test, and diagnostics on
    training examples, whose pixels normalise the images."""
    bound_ridges: tuple[float, ...] = ()
    """Ridges, as multiples of the kernel's mean diagonal entry, of which each bound takes the one
    where it is smallest; it holds for all at once (default: the ridge of everything else)."""
    certify: int = 0
    """Training examples that are set apart, drawn at random and trained on by no network, on which
    kernel fits to each supervision are certified; 0 for none. The kernels are those of the student
    before and after its training on the rest; the test split only checks."""
    target_form: Form = "probabilities"
    """Teacher targets as probabilities or as logits / tau."""
    centre_targets: bool = False
    """Take each output's mean over the examples off the targets."""
    residual_targets: bool = False
    """Take the student's initial predictions f(x; w0) off the targets."""

    def check(self) -> None:
        """Raise InputError if a setting is out of range or does not fit another."""
        check_choices(
            self,
            {
                "kernel": get_args(Kernel),
                "ntk_split": get_args(NtkSplit),
                "target_form": get_args(Form),
                "ntk_dtype": ("float32", "float64"),
            },
        )
        check_minimum(
            self, points=2, accuracy_points=0, ntk_size=2, ntk_batch_size=1, similarity_size=0,
            certify=0,
        )  # fmt: skip
        if 0 < self.certify < 4:
            raise InputError(f"certify must be 0 or at least 4, got {self.certify}")
        if not 0 <= self.ridge < float("inf"):
            raise InputError(f"ridge must be at least 0 and finite, got {self.ridge}")
        if not all(0 < ridge < float("inf") for ridge in self.bound_ridges):
            raise InputError(
                "bound_ridges must be above 0 and finite, got "
                f"{' '.join(map(str, self.bound_ridges))}"
            )
        if self.bound_ridges and not self.bounds:
            raise InputError("bound_ridges are for the bounds; give --bounds too")
        if self.ridge_absolute is not None and self.ridge != DEFAULT_RIDGE:
            raise InputError("give --ridge (relative) or --ridge-absolute, not both")
        if self.kernel != "none":
            self.kernel_spec()
        if self.kernel == "none":
            for name in ("similarity_size", "bounds", "certify"):
                if getattr(self, name):
                    raise InputError(f"{name} needs a kernel; choose --kernel full or trace")

    def kernel_spec(self, devices: int = 1) -> KernelSpec:
        """Return which kernel of a student is measured, with which ridge, and what it may take."""
        assert self.kernel != "none"
        return KernelSpec(
            outputs=self.kernel,
            ridge=self.ridge if self.ridge_absolute is None else None,
            ridge_absolute=self.ridge_absolute,
            relative_gap=self.relative_gap,
            memory_budget=self.memory_budget,
            devices=devices,
            method=self.ntk_method,
            batch_size=self.ntk_batch_size,
            dtype=self.ntk_dtype,
        )


@settings_group
class OutputConfig:
    """Where a run lies, and what it leaves besides its measurements."""

    out: str = "runs/run"
    """Folder of the run; a second call continues what is there."""
    save_seconds: float = 30.0
    """While a network trains, its state is saved as often, besides at its measuring points."""
    tensorboard: bool = False
    """Write TensorBoard event files into OUT/tensorboard (pip install 'kdtheory[tensorboard]')."""
    compilation_cache: bool = False
    """Keep compiled programs in $XDG_CACHE_HOME/kdtheory/xla (~/.cache) for the next run."""

    def check(self) -> None:
        """Raise InputError if a setting is out of range."""
        check_minimum(self, save_seconds=0)


#: Settings that a stored measurement does not depend on, but for rounding: more seeds or arms
#: extend a run, and where it lies and where the data lies do not matter (the store compares the
#: data themselves).
_VARYING = (
    "seeds", "arms", "out", "data_dir", "save_seconds", "tensorboard", "compilation_cache",
    "teachers", "teacher_logits", "teacher_function", "teacher_variables",
    "student_variables", "memory_budget", "teacher_cache_budget", "devices",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class RunConfig(Groups):
    """Train a teacher and students on every arm; measure the complexity of each supervision.

    >>> RunConfig.of(epochs=3, ridge=0.1).training.epochs
    3
    """

    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    data: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    output: OutputConfig = field(default_factory=OutputConfig)
    measuring: MeasuringConfig = field(default_factory=MeasuringConfig)
    teaching: TeachingConfig = field(default_factory=TeachingConfig)

    def __post_init__(self) -> None:
        if self.measuring.kernel == "none" and "matched" in self.distillation.arms:
            raise InputError("the matched arm needs a kernel; choose --kernel full or trace")
        if self.teaching.logits_of is not None:
            self._check_teacher_without_network()
        if self.teaching.teacher_variables:
            check_checkpoints(
                self.distillation.arms, len(self.teaching.teacher_variables), "--teacher-variables"
            )

    def _check_teacher_without_network(self) -> None:
        """Raise InputError for settings that a teacher of known logits cannot have."""
        training, (flag,) = self.training, self.teaching.given
        if training.augment or training.cutout or training.mixup:
            raise InputError(
                f"{flag}: its logits are of the images as they are; leave --augment, --cutout and "
                "--mixup out, or give the teacher as a network (--teacher-variables)"
            )
        measuring = self.measuring
        if self.distillation.assistant or measuring.similarity_size or measuring.certify:
            raise InputError(
                "--assistant, --similarity-size and --certify need the teacher's network; leave "
                f"them or {flag} out"
            )

    @property
    def teacher_name(self) -> str:
        """What the teacher is called in rows and tables: its model, file of logits or function."""
        file, function = self.teaching.teacher_logits, self.teaching.teacher_function
        return function or (self.distillation.teacher if file is None else Path(file).name)

    @property
    def title(self) -> str:
        """The run in words: data, task, teacher and student."""
        networks = self.distillation
        return f"{self.data.dataset}, {self.data.task}: {self.teacher_name} to {networks.student}"

    def arm_list(self) -> tuple[Supervision, ...]:
        """Return every arm with its temperature, labels first.

        >>> [arm.slug for arm in RunConfig.of(temperatures=(1.0,)).arm_list()]
        ['labels', 'offline-tau1', 'online-tau1', 'self-tau1']
        """
        arms: list[Supervision] = []
        for name in ARMS:
            if name in self.distillation.arms:
                if name == "labels":
                    arms.append(LABELS)
                elif name == "self":
                    arms.append(Supervision(name, SELF_TEMPERATURE))
                elif name in METHODS and METHODS[name].own_loss:
                    arms.append(Supervision(name, METHODS[name].temperature))
                else:
                    arms.extend(Supervision(name, tau) for tau in self.distillation.temperatures)
        return tuple(arms)

    def identity(self) -> dict[str, Any]:
        """Return the settings that a stored measurement depends on, by their flat names."""
        return {name: value for name, value in to_json(self).items() if name not in _VARYING}


def extended(stored: RunConfig, config: RunConfig) -> RunConfig:
    """Return the configuration with the stored run's arms and seeds added to its own.

    >>> stored = RunConfig.of(arms=("labels",), seeds=3)
    >>> both = extended(stored, RunConfig.of(arms=("online",), seeds=1)).distillation
    >>> both.arms, both.seeds
    (('labels', 'online'), 3)
    """
    there, asked = stored.distillation, config.distillation
    wanted = {*there.arms, *asked.arms}
    arms = tuple(name for name in ARMS if name in wanted)
    return config.replace(arms=arms, seeds=max(there.seeds, asked.seeds))


def to_json(config: RunConfig) -> dict[str, Any]:
    """Return all settings by their flat names, as JSON's types: what config.json holds.

    >>> to_json(RunConfig())["temperatures"]
    [1.0, 4.0]
    """
    return flat(config)


def from_json(values: dict[str, Any], source: str = "configuration") -> RunConfig:
    """Return the configuration that `to_json` wrote; settings not named keep their defaults.

    Args:
      values: settings by name.
      source: where they come from, for error messages.

    Raises:
      InputError: a setting that does not exist, or a value of the wrong type or out of range.

    >>> from_json({"epochs": 3}).training.epochs
    3
    """
    return nested(RunConfig, values, source)

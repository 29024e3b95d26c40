"""What the networks of one seed share: data, teacher, and what students have in common."""

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass, field

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from kdtheory.arms import Supervision, SupervisionName
from kdtheory.datasets import ImageDataset, Split, normalize
from kdtheory.measure import SupervisionComplexity, measured_kernel
from kdtheory.measure.network_kernel import MeasuredKernel, with_margins
from kdtheory.memory import TABLE_BYTES
from kdtheory.ntk import gram
from kdtheory.rows import SeedFields
from kdtheory.runs.config import RunConfig
from kdtheory.runs.events import Events
from kdtheory.runs.network import SplitLogits, TrainedNetwork
from kdtheory.runs.teacher_checkpoints import thinned
from kdtheory.targets import (
    Labels,
    RandomLabels,
    TargetProvider,
    Trajectory,
    centre,
    residual,
    tabulate,
)
from kdtheory.targets.examples import Examples
from kdtheory.targets.providers import mixture_targets
from kdtheory.training import TeacherCache, Trainer, TrainingData, predict_logits
from kdtheory.training.state import HostData
from kdtheory.training.views import Views
from kdtheory.typing import Variables

# Compiled once a shape; temperature and alpha are arguments, so the supervisions share it.
_mixture_targets = jax.jit(mixture_targets, static_argnames="form")


@functools.lru_cache(maxsize=16)  # a run's few rates; more would keep ended runs' programs
def with_network(trainer: Trainer, network: nn.Module) -> Trainer:
    """Return a trainer of another network; the same one, and its compiled program, each time."""
    return trainer.replace(module=network)


@dataclass(kw_only=True)
class Seed:
    """What the networks of one seed share; all its randomness comes from `jax.random.key(seed)`."""

    number: int
    config: RunConfig
    dataset: ImageDataset
    data: TrainingData | HostData
    """The training split on the device."""
    student_trainer: Trainer
    """The students' architecture and schedule."""
    teacher: TrainedNetwork
    """Of the students: the teacher, or its assistant."""
    row: SeedFields
    """What every row of this seed says besides the measurement."""
    labels_student: TrainedNetwork | None = None
    """Once it is trained: the student on labels, with its last checkpoint. It is the teacher of
    self-distillation."""
    learned: dict[int, Float[np.ndarray, "n d"]] = field(default_factory=dict)
    """By step, the logits of the student on labels on the measuring examples, for matched arms."""
    schedules: dict[float, tuple[int, ...]] = field(default_factory=dict)
    """By temperature, the matched arm's last step of each checkpoint, once they are known."""
    arm_trainers: dict[Supervision, Trainer] = field(default_factory=dict)
    """The trainers of arms with a learning rate of their own."""
    teacher_cache: TeacherCache | None = None
    """Where the teacher's logits on the students' views are kept, if they are."""
    peer_logits: dict[tuple[Supervision, int], SplitLogits] = field(default_factory=dict)
    """Of the arm and the step that are measured, where the student is shown a peer's logits."""
    stages: dict[str, Variables] = field(default_factory=dict)
    """By arm, what its method's earlier stage trained."""
    network: nn.Module | None = None
    """Of the students of one arm, where its method makes another network of the run's student."""
    kernels_at_init: dict[str, MeasuredKernel] = field(default_factory=dict)
    """Where `kernel_at_init` keeps what it computed."""

    def trainer_of(self, arm: Supervision) -> Trainer:
        """Return what trains an arm's student."""
        trainer = self.arm_trainers.get(arm, self.student_trainer)
        return trainer if self.network is None else with_network(trainer, self.network)

    def with_network(self, network: nn.Module) -> "Seed":
        """Return the seed of students that are another network: what is measured is theirs."""
        return dataclasses.replace(
            self, network=network, kernels_at_init={},
            student_trainer=with_network(self.student_trainer, network),
        )  # fmt: skip

    @property
    def key(self) -> jax.Array:
        """PRNG key of the seed."""
        return jax.random.key(self.number)

    @property
    def train_key(self) -> jax.Array:
        """PRNG key of every student's batches and augmentation."""
        same = self.config.distillation.same_batches
        return jax.random.fold_in(jax.random.key(0) if same else self.key, 2)

    @functools.cached_property
    def views(self) -> Views:
        """What every student is shown in its training."""
        return self.student_trainer.views(self.data, train_key=self.train_key)

    @functools.cached_property
    def online_teacher(self) -> TrainedNetwork:
        """The teacher of online distillation: with the checkpoints that it uses alone."""
        count = self.config.teaching.online_checkpoints
        return self.teacher.at(thinned(self.teacher.steps, count))

    @property
    def init_key(self) -> jax.Array:
        """PRNG key of the parameters that every student starts from."""
        return jax.random.fold_in(self.key, 1)

    def first_images(self, split: Split, n: int) -> Float[np.ndarray, "n h w c"]:
        """Return a split's first images, as the models see them."""
        return np.asarray(normalize(split.images[:n], self.dataset.mean, self.dataset.std))

    @property
    def ntk_split(self) -> Split:
        """The split whose first examples' kernel is measured."""
        return (
            self.dataset.train if self.config.measuring.ntk_split == "train" else self.dataset.test
        )

    @functools.cached_property
    def ntk_examples(self) -> Examples:
        """The examples whose kernel is measured."""
        n, split = self.config.measuring.ntk_size, self.ntk_split
        return Examples(
            jnp.asarray(self.first_images(split, n)), jnp.asarray(split.labels[:n]), jnp.arange(n)
        )

    @functools.cached_property
    def initial_variables(self) -> Variables:
        """What every student starts from."""
        return self.student_trainer.initial_state(self.init_key).variables

    @functools.cached_property
    def initial_logits(self) -> Float[np.ndarray, "n d"]:
        """f(x; w0) on the measuring examples."""
        return self.student_logits(self.initial_variables)

    def student_logits(self, variables: Variables) -> Float[np.ndarray, "n d"]:
        """Return a student's logits on the measuring examples."""
        return predict_logits(
            self.student_trainer.module.apply,
            variables,
            self.ntk_split.images[: self.config.measuring.ntk_size],
            mean=self.dataset.mean,
            std=self.dataset.std,
        )

    def kernel_at_init(self, events: Events | None = None) -> MeasuredKernel:
        """Return the kernel of the untrained student, the same for every arm, computed once."""
        if "kernel" not in self.kernels_at_init:
            self.kernels_at_init["kernel"] = self.student_kernel(self.initial_variables, events)
        return self.kernels_at_init["kernel"]

    def student_kernel(self, variables: Variables, events: Events | None = None) -> MeasuredKernel:
        """Return a student's kernel on the measuring examples: factorised, or its products."""
        return measured_kernel(
            self.student_trainer.module.apply,
            variables,
            np.asarray(self.ntk_examples.images),
            self.config.measuring.kernel_spec(self.config.training.devices),
            on_tile=None if events is None else events.tile,
        )

    def complexities(
        self, kernel: MeasuredKernel, targets: Sequence[Float[np.ndarray, "n d"]]
    ) -> list[SupervisionComplexity]:
        """Return the complexity of every supervision's targets, and their margins on the labels.

        Complexity is that of the targets centred, or relative to the initial predictions, as
        configured; the margins are those of the targets as they are.
        """
        used = [self._relative(one) for one in targets]
        return with_margins(kernel.complexities(used), targets, self.ntk_examples.labels)

    def _relative(self, targets: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
        if self.config.measuring.residual_targets:
            targets = np.asarray(residual(targets, self.initial_logits))
        if self.config.measuring.centre_targets:
            targets = np.asarray(centre(targets))
        return targets

    @functools.cached_property
    def teacher_table(self) -> Trajectory | None:
        """The online teacher's logits on the training split, if students may use them.

        Online and offline teachers share it, and so one compiled program: its last checkpoint is
        the offline teacher.
        """
        teacher = self.online_teacher
        logits = [split["train"] for split in teacher.logits]
        changed = self.student_trainer.augmentation is not None
        large = sum(values.nbytes for values in logits) > TABLE_BYTES
        if changed or (large and teacher.trainer is not None):
            return None
        return tabulate(logits, teacher.steps)

    def targets_of(
        self,
        logits: Float[np.ndarray, "n d"],
        temperature: float,
        alpha: float | None = None,
        labels: Int[np.ndarray, " n"] | None = None,
    ) -> Float[np.ndarray, "n d"]:
        """Return the targets that a teacher with these logits gives for the measuring examples.

        They have the configuration's form, and its share of labels where alpha is left out. Of
        other examples give the labels too.
        """
        targets = _mixture_targets(
            logits,
            self.ntk_examples.labels if labels is None else labels,
            temperature=temperature,
            alpha=self.config.distillation.alpha if alpha is None else alpha,
            form=self.config.measuring.target_form,
        )
        return np.asarray(targets)

    def measured(self, logits: SplitLogits) -> Float[np.ndarray, "m d"]:
        """Return what a network's logits are on the measuring examples."""
        return logits[self.config.measuring.ntk_split][: self.config.measuring.ntk_size]

    @functools.cached_property
    def fixed_targets(self) -> dict[SupervisionName, Float[np.ndarray, "n d"]]:
        """The supervisions that no teacher gives: the control and the labels."""
        num_outputs = self.dataset.num_outputs
        providers: dict[SupervisionName, TargetProvider] = {
            "random_labels": RandomLabels(jax.random.fold_in(self.key, 3), num_outputs),
            "labels": Labels(num_outputs),
        }
        return {
            name: np.asarray(provider.targets(0, self.ntk_examples))
            for name, provider in providers.items()
        }

    @functools.cached_property
    def similarity_images(self) -> Float[np.ndarray, "n h w c"]:
        """The test examples on which the kernels of trained networks are compared."""
        return self.first_images(self.dataset.test, self.config.measuring.similarity_size)

    def kernel_to_compare(
        self,
        trainer: Trainer,
        variables: Variables,
        images: Float[np.ndarray, "n h w c"],
        events: Events | None = None,
    ) -> Float[np.ndarray, "n n"]:
        """Return a network's kernel, summed over outputs, whose entries alone are of interest.

        In float32: its inverse, which would need float64, is not taken.
        """
        return gram(
            trainer.module.apply,
            variables,
            images,
            outputs="trace",
            method=self.config.measuring.ntk_method,
            batch_size=self.config.measuring.ntk_batch_size,
            dtype="float32",
            on_tile=None if events is None else events.tile,
        )

    @functools.cached_property
    def teacher_kernel(self) -> Float[np.ndarray, "n n"] | None:
        """The final teacher's kernel on the measuring examples, summed over outputs.

        None for a teacher of which nothing but logits is known.
        """
        if self.teacher.trainer is None:
            return None
        final = self.teacher.trajectory.final()
        images = np.asarray(self.ntk_examples.images)
        return self.kernel_to_compare(self.teacher.trainer, final, images)

    @functools.cached_property
    def teacher_test_kernel(self) -> Float[np.ndarray, "n n"]:
        """The final teacher's kernel on the first `similarity_size` test examples."""
        assert self.teacher.trainer is not None
        final = self.teacher.trajectory.final()
        return self.kernel_to_compare(self.teacher.trainer, final, self.similarity_images)

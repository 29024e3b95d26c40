"""Each arm's learning rate, chosen from one list on the validation split at the first seed.

A candidate is the first seed's student of its arm at that rate, with the keys that this student has
anyway: the chosen one is that student, and is not trained again.

    out/seeds/0/labels-rate0.03/     the student on labels at that rate, of seed 0
    out/seeds/0/labels-tuning/       the rows of kind "tuning" of that arm
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from kdtheory.arms import Supervision
from kdtheory.datasets import ImageDataset
from kdtheory.errors import InputError, RunError
from kdtheory.rows import Row, checked_row, tunings
from kdtheory.runs.config import RunConfig
from kdtheory.runs.events import Events
from kdtheory.runs.seed import Seed
from kdtheory.runs.store import RunStore
from kdtheory.runs.student import student_network
from kdtheory.runs.trainers import augmentation_of, trainer_of
from kdtheory.runs.unit import Unit
from kdtheory.statistics.tuning import chosen_rates
from kdtheory.targets.decisions import accuracy
from kdtheory.training import Trainer, predict_logits
from kdtheory.training.loop import NonFiniteLossError
from kdtheory.typing import Variables

#: The seed at which rates are chosen, for all.
TUNING_SEED = 0


class Tuning:
    """The students' learning rates of a run: one for all, or one an arm from a list.

    Args:
      config: the run.
      dataset: its data.
      start: what every student starts from (default: initialised).

    Raises:
      InputError: there is a list, and nothing to choose by.
    """

    def __init__(
        self, config: RunConfig, dataset: ImageDataset, start: Variables | None = None
    ) -> None:
        self._config, self._dataset, self._start = config, dataset, start
        #: The list, without an order; empty where nothing is tuned.
        self.rates = tuple(sorted(config.training.tune))
        if self.rates and not len(dataset.validation):
            raise InputError(
                "tune chooses learning rates on validation examples, and there are none; "
                "give --validation-size"
            )
        if self.rates and config.teaching.teacher_data == "validation":
            raise InputError(
                "tune needs validation examples that the teacher has not seen; leave "
                "--teacher-data validation or --tune out"
            )

    @functools.cached_property
    def usual(self) -> Trainer:
        """The students' trainer at the configured learning rate."""
        return trainer_of(
            self._config, self._dataset, self._config.distillation.student,
            optimizer=self._config.training.student_optimizer,
            epochs=self._config.training.epochs,
            augmentation=augmentation_of(self._config, self._dataset),
            variables=self._start,
        )  # fmt: skip

    @functools.cached_property
    def _at(self) -> dict[float, Trainer]:
        """The trainers by rate: arms of one rate share its compiled program."""
        optimizer = self._config.training.student_optimizer
        return {
            rate: self.usual.replace(optimizer=dataclasses.replace(optimizer, learning_rate=rate))
            for rate in self.rates
        }

    def rate(self, arm: Supervision, store: RunStore) -> float | None:
        """Return an arm's rate, None before it is chosen (or where nothing is tuned)."""
        return chosen_rates(self.rows(arm, store)).get(arm)

    def rows(self, arm: Supervision, store: RunStore) -> list[Row]:
        """Return the rows that say how an arm's rate was chosen; none before."""
        if not self.rates:
            return []
        return self._rows_unit(arm, store).rows(self.usual.total_steps) or []

    def unit(self, seed: int, arm: Supervision, store: RunStore) -> Unit:
        """Return the folder of an arm's student: at its rate, once that is chosen."""
        rate = self.rate(arm, store)
        return store.unit(seed, student_slug(arm, rate))

    def units(
        self, arms: Sequence[Supervision], store: RunStore
    ) -> list[tuple[Unit, Sequence[int]]]:
        """Return the folders of the arms' choices, each with the step that it has rows of."""
        last = [self.usual.total_steps]
        return [(self._rows_unit(arm, store), last) for arm in arms if self.rates]

    def alike(self, arms: Sequence[Supervision], store: RunStore) -> list[list[Supervision]]:
        """Return arms in groups of one rate, whose students share a compiled program."""
        groups: dict[float | None, list[Supervision]] = {}
        for arm in arms:
            groups.setdefault(self.rate(arm, store), []).append(arm)
        return list(groups.values())

    def tune(self, arm: Supervision, seed: Seed, store: RunStore, events: Events) -> None:
        """Give a seed's student of an arm the trainer of its rate, which the first seed chooses.

        Of equal validation accuracies the smallest rate is chosen.

        Raises:
          RunError: every candidate diverged.
        """
        if not self.rates:
            return
        if not self.rows(arm, store):
            assert seed.number == TUNING_SEED, "the first seed comes first"
            self._write(arm, seed, store, [self._tried(arm, rate, seed, store, events)
                                           for rate in self.rates])  # fmt: skip
        rate = self.rate(arm, store)
        assert rate is not None
        seed.arm_trainers[arm] = self._at[rate]

    def _tried(
        self, arm: Supervision, rate: float, seed: Seed, store: RunStore, events: Events
    ) -> dict[str, Any]:
        """Train a candidate, or read it; return its fields."""
        seed.arm_trainers[arm] = trainer = self._at[rate]
        network = student_network(arm, seed, store.unit(seed.number, student_slug(arm, rate)))
        module = network.trainer.module
        events.network(
            f"seed {seed.number}: student {self._config.distillation.student}, {arm.slug}, "
            f"rate {rate:g}", trainer.total_steps,
            folder=f"{seed.number}-{student_slug(arm, rate)}", epoch_steps=trainer.epoch_steps,
        )  # fmt: skip
        found: dict[str, Any] = {"learning_rate": rate, "validation_accuracy": None}
        validation = self._dataset.validation
        try:
            for _, variables in network.train(events):
                last = variables
            logits = predict_logits(
                module.apply, last, validation.images,
                mean=self._dataset.mean, std=self._dataset.std,
            )  # fmt: skip
            if np.isfinite(logits).all():
                found["validation_accuracy"] = accuracy(logits, validation.labels)
            else:
                found["diverged"] = "the logits are not finite"
        except RunError as error:
            cause = error.__cause__
            if not isinstance(cause, NonFiniteLossError):
                raise
            found["diverged"] = f"the loss is {cause.value} at step {cause.step}"
        events.network_done()
        return found

    def _write(
        self, arm: Supervision, seed: Seed, store: RunStore, tried: list[dict[str, Any]]
    ) -> None:
        """Choose, and store the choice."""
        whole = [each for each in tried if each["validation_accuracy"] is not None]
        if not whole:
            raise RunError(
                f"every learning rate of tune ({' '.join(map(str, self.rates))}) diverged for the "
                f"student on {arm.slug}; give lower ones"
            )
        best = max(whole, key=lambda each: (each["validation_accuracy"], -each["learning_rate"]))
        step = self.usual.total_steps
        rows = [
            checked_row({
                **seed.row, "kind": "tuning", "arm": arm.name, "temperature": arm.temperature,
                "step": step, "epoch": self.usual.epochs, "final": True,
                **each, "chosen": each is best,
            })
            for each in tried
        ]  # fmt: skip
        self._rows_unit(arm, store).write_rows(step, tunings(rows))

    def _rows_unit(self, arm: Supervision, store: RunStore) -> Unit:
        return store.unit(TUNING_SEED, f"{arm.slug}-tuning")


def student_slug(arm: Supervision, rate: float | None) -> str:
    """Return the folder of an arm's student, at a rate if it was tuned: two rates never share one.

    >>> arm = Supervision("labels", None)
    >>> student_slug(arm, 0.03), student_slug(arm, None)
    ('labels-rate0.03', 'labels')
    """
    if rate is None:
        return arm.slug
    short = f"{rate:g}"
    return f"{arm.slug}-rate{short if float(short) == rate else repr(rate)}"

"""What a method trains before its student: read, or trained and stored, as any network is."""

import jax

from kdtheory.arms import Supervision
from kdtheory.methods.registry import METHODS
from kdtheory.runs.events import Events
from kdtheory.runs.network import Network
from kdtheory.runs.seed import Seed
from kdtheory.runs.supervision import pair_of
from kdtheory.runs.unit import Unit

# What a seed's key is folded with: the stage's initial parameters, its batches.
_INIT, _TRAIN = 20, 21


def train_stage(arm: Supervision, seed: Seed, unit: Unit, events: Events) -> None:
    """Give a seed what an arm's method trains before the student, if it does."""
    method = METHODS.get(arm.name)
    if method is None or method.stage is None or arm.name in seed.stages:
        return
    trainer, training = method.stage(pair_of(arm, seed), seed.student_trainer)
    network = Network(
        label=f"{arm.slug}'s stage before, seed {seed.number}", trainer=trainer,
        supervision=training, data=seed.data, init_key=jax.random.fold_in(seed.key, _INIT),
        train_key=jax.random.fold_in(seed.key, _TRAIN), points=[trainer.total_steps], unit=unit,
    )  # fmt: skip
    events.network(
        f"seed {seed.number}: {arm.slug}, the stage before its student", trainer.total_steps,
        folder=f"{seed.number}-{unit.folder.name}", epoch_steps=trainer.epoch_steps,
    )  # fmt: skip
    for _, variables in network.train(events):
        seed.stages[arm.name] = variables
    events.network_done(counted=False)

"""The command; `python -m benchmarks.accelerator --help` says what it does."""

import argparse
import sys

from benchmarks.accelerator.settings import STEPS, config, parse


def main(arguments: list[str] | None = None) -> None:
    """Measure in the order of `STEPS` until the minutes are over."""
    given = parse(arguments)
    # Only now: the words above are to come at once.
    from kdtheory.errors import KdtheoryError, Terminated

    try:
        _measure(given)
    except Terminated as order:
        print(f"\n{order}; the same command continues where it was", file=sys.stderr)
        raise SystemExit(order.exit_code) from None
    except KeyboardInterrupt:
        print("\ninterrupted; the same command continues where it was", file=sys.stderr)
        raise SystemExit(130) from None
    except KdtheoryError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None


def _measure(given: argparse.Namespace) -> None:
    import jax
    import rich.console
    import rich.progress

    from benchmarks.accelerator import kernels, table, trainings
    from benchmarks.accelerator.images import dataset
    from benchmarks.accelerator.result import Clock, OutOfTime, Result, start_over
    from kdtheory.runs.provenance import provenance

    console = rich.console.Console(stderr=True, highlight=False, soft_wrap=True)
    if given.fresh:
        start_over(given.out)
    settings, clock = given.settings, Clock(given.minutes)
    result = Result(given.out, config(given), provenance(), clock, console.print)
    console.print(
        f"{jax.devices()[0].device_kind}; {given.minutes:g} minutes; {given.out}/result.json"
    )
    if jax.default_backend() == "cpu" and not given.smoke:
        console.print(
            "no accelerator: JAX sees the CPU alone, on which this takes days; see --smoke"
        )
    whole, binary = dataset(settings, given.data), dataset(settings, given.data, "first_half")
    nets = kernels.networks(settings, binary)
    with rich.progress.Progress(console=console, transient=True) as bars:
        steps = bars.add_task("steps", total=len(STEPS))
        inner = bars.add_task("", total=None, visible=False)

        def on_part(done: int, total: int) -> None:
            bars.update(inner, completed=done, total=total, visible=True)

        def on_epoch(network: str, epoch: int, epochs: int) -> None:
            bars.update(inner, description=f"{network}, epochs")
            on_part(epoch, epochs)

        work = {
            "self-test": lambda: kernels.self_test(settings, result, nets),
            "training": lambda: trainings.training_speed(settings, result, whole),
            "gram": lambda: kernels.gram_times(settings, result, nets),
            "whole kernel": lambda: kernels.whole_kernel(settings, result, nets[0], on_part),
            "certified": lambda: kernels.certified_values(settings, result, nets[0], binary),
            "distillation": lambda: trainings.distillation(
                settings, result, whole, given.epochs, on_epoch
            ),
        }
        ended = None
        for done, step in enumerate(STEPS):
            bars.update(steps, completed=done, description=step)
            bars.update(inner, description="tiles", visible=False)
            try:
                work[step]()
            except OutOfTime:
                ended = step
                break
    result.write()
    print(table.markdown(result.content))
    if ended is not None:
        console.print(f"the minutes are over: the same command goes on with: {ended}")


if __name__ == "__main__":
    main()

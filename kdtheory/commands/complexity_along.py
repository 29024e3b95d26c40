"""`kdtheory complexity --checkpoints`: along a training, one kernel for each checkpoint."""

import dataclasses
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from kdtheory.commands.complexity_targets import NamedTargets, online_targets

if TYPE_CHECKING:
    from kdtheory.commands.complexity import ComplexityOf
    from kdtheory.measure.examples import KernelExamples
    from kdtheory.recording import ComplexityRecorder


def along_checkpoints(
    options: "ComplexityOf", folder: Path, examples: "KernelExamples", targets: NamedTargets
) -> None:
    """Measure sets of targets at each checkpoint in a folder; print and write what was found.

    Raises:
      InputError: no checkpoints, or those of another model.
      KernelError: a kernel whose inverse cannot be trusted.
    """
    from kdtheory.commands.kernel_progress import show_bounds, tile_bar, told_what_is_kept
    from kdtheory.measure.examples import named_network
    from kdtheory.recording import complexity_recorder
    from kdtheory.runs.stored_variables import checkpoint_variables, checkpoints_in

    checkpoints = checkpoints_in(folder)
    apply_fn, like = named_network(options.model, examples.dataset, options.seed)
    spec, last = options.kernel, max(checkpoints)
    if spec.store is None and options.out is not None:
        spec = dataclasses.replace(spec, store=str(options.out / "measured"))
    with told_what_is_kept(spec.store, "--out or --store"), tile_bar() as on_tile:
        record = complexity_recorder(
            apply_fn, examples.images, targets.sets, labels=examples.labels, spec=spec,
            on_tile=on_tile, on_product=show_bounds,
        )  # fmt: skip
        for place, (step, path) in enumerate(checkpoints.items(), start=1):
            began = time.monotonic()
            online = online_targets(options, examples, targets, step=step, last_step=last)
            record(step, checkpoint_variables(path, like), targets=online)
            seconds = time.monotonic() - began
            told = f"{path.name}: {place} of {len(checkpoints)} checkpoints, {seconds:.1f} s"
            print(told, file=sys.stderr, flush=True)
    _tell(options, record)


def _tell(options: "ComplexityOf", record: "ComplexityRecorder") -> None:
    from kdtheory.files import json_text, write_whole
    from kdtheory.report import stdout_console
    from kdtheory.report.terminal import print_tables

    if options.plot is not None:
        figure, form = record.figure(), options.plot.suffix[1:]
        write_whole(options.plot, lambda file: figure.savefig(file, format=form, dpi=150))
    if options.out is not None:
        record.write(options.out)
    if options.json:
        print(json_text(record.rows()))
        return
    print_tables([record.table()], stdout_console())
    if options.out is not None:
        print(f"wrote {options.out}/complexity.md, .csv, .tex, .html, .png, .svg and .jsonl")

"""`kdtheory models`."""

from dataclasses import dataclass

import tyro

from kdtheory.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Models:
    """List the models by name, with their numbers of parameters."""

    names: tyro.conf.Positional[tuple[str, ...]] = ()
    """Names to list (default: examples of every family)."""
    num_outputs: int = 100
    """Number of logits d."""
    image_size: int | None = None
    """Side of the images in pixels (default: that of the published form, 32 or 224)."""
    channels: int = 3
    """Channels of the images."""
    markdown: bool = False
    """Print a Markdown table: the one of docs/models.md."""


def models(options: Models) -> None:
    """Run `kdtheory models`."""
    from rich.table import Table

    from kdtheory.models import known_models, summarize
    from kdtheory.models.registry import family_of
    from kdtheory.report import stdout_console

    if options.channels < 1 or (options.image_size is not None and options.image_size < 1):
        raise InputError("image-size and channels must be at least 1")
    heads = ("name", f"parameters, {options.num_outputs} outputs", "images", "source")
    rows = []
    for name in options.names or known_models():
        height, width, _ = family_of(name).image_shape
        if options.image_size is not None:
            height = width = options.image_size
        summary = summarize(
            name,
            num_outputs=options.num_outputs,
            image_shape=(height, width, options.channels),
        )
        images = " x ".join(map(str, summary.image_shape))
        rows.append((name, f"{summary.num_params:,}", images, summary.source))
    if options.markdown:
        print("| " + " | ".join(heads) + " |")
        print("|---|---:|---|---|")
        for name, *rest in rows:
            print(f"| `{name}` | " + " | ".join(rest) + " |")
        return
    table = Table(*heads, box=None)
    table.columns[0].no_wrap = True
    table.columns[1].justify = "right"
    for row in rows:
        table.add_row(*row)
    stdout_console().print(table)

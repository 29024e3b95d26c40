"""The PyTorch counterparts of the models that the benchmarks measure, for images 32 x 32 x 3."""

from typing import Any


def build(name: str, num_outputs: int) -> Any | None:
    """Return a torch.nn.Module, or None where there is no counterpart (or no torchvision)."""
    if name == "resnet20":
        return _resnet(num_outputs, blocks=3)
    if name == "resnet56":
        return _resnet(num_outputs, blocks=9)
    if name.startswith("lenet5x"):
        return _lenet(num_outputs, int(name.removeprefix("lenet5x")))
    if name == "mobilenet_v3_small":
        return _mobilenet(num_outputs)
    if name == "mlp":
        return _mlp(num_outputs)
    return None


def _mlp(num_outputs: int) -> Any:
    from torch import nn

    return nn.Sequential(
        nn.Flatten(), nn.Linear(32 * 32 * 3, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(),
        nn.Linear(256, num_outputs),
    )  # fmt: skip


def _resnet(num_outputs: int, blocks: int) -> Any:
    from torch import nn

    class Block(nn.Module):
        def __init__(self, inputs: int, filters: int, stride: int) -> None:
            super().__init__()
            self.residual = nn.Sequential(
                nn.Conv2d(inputs, filters, 3, stride, 1, bias=False),
                nn.BatchNorm2d(filters),
                nn.ReLU(inplace=True),
                nn.Conv2d(filters, filters, 3, 1, 1, bias=False),
                nn.BatchNorm2d(filters),
            )
            self.shortcut = (
                nn.Identity()
                if inputs == filters
                else nn.Sequential(
                    nn.Conv2d(inputs, filters, 1, stride, bias=False), nn.BatchNorm2d(filters)
                )
            )
            self.activation = nn.ReLU(inplace=True)

        def forward(self, x: Any) -> Any:
            return self.activation(self.residual(x) + self.shortcut(x))

    layers: list[Any] = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    inputs = 16
    for stage, filters in enumerate((16, 32, 64)):
        for block in range(blocks):
            layers.append(Block(inputs, filters, 2 if stage and not block else 1))
            inputs = filters
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, num_outputs))


def _lenet(num_outputs: int, multiplier: int) -> Any:
    from torch import nn

    first, second = 6 * multiplier, 16 * multiplier
    return nn.Sequential(
        nn.Conv2d(3, first, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(first, second, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(second * 25, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(),
        nn.Linear(84, num_outputs),
    )  # fmt: skip


def _mobilenet(num_outputs: int) -> Any | None:
    try:
        import torchvision
    except ImportError:
        return None
    model = torchvision.models.mobilenet_v3_small(num_classes=num_outputs)
    # The small-image strides of kdtheory's: the stem and the first block that halves the image.
    model.features[0][0].stride = (1, 1)
    model.features[1].block[0][0].stride = (1, 1)
    return model

"""Pictures to try a folder of images with: python draw_shapes.py ROOT."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

rng = np.random.default_rng(0)
for split, count in (("train", 60), ("test", 30)):
    for shape in ("circle", "square"):
        folder = Path(sys.argv[1], split, shape)
        folder.mkdir(parents=True)
        for i in range(count):
            image = Image.fromarray(rng.integers(0, 60, (16, 16), dtype=np.uint8))
            (x, y), side = rng.integers(1, 5, 2), rng.integers(7, 11)
            pen = ImageDraw.Draw(image)
            draw = pen.ellipse if shape == "circle" else pen.rectangle
            draw((x, y, x + side, y + side), outline=255)
            image.save(folder / f"{i:03}.png")

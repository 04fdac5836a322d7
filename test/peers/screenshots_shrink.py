"""Rewrites PNG files with a palette, so that each is at most so many bytes: shrink.py <bytes> <file>..."""

import io
import sys

from PIL import Image

most = int(sys.argv[1])
for path in sys.argv[2:]:
    image = Image.open(path).convert("RGB")
    for colours in (256, 128, 64, 32):
        smaller = io.BytesIO()
        palette = image.quantize(colours, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        palette.save(smaller, "PNG", optimize=True)
        if smaller.tell() <= most:
            break
    else:
        sys.exit(f"{path}: {smaller.tell()} bytes with 32 colours")
    with open(path, "wb") as file:
        file.write(smaller.getvalue())

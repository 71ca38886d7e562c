"""One conversion for each mode of a picture: to 8-bit RGB, upright, without transparency.

Published sets are read as published, by Pillow's plain conversion, as torchvision reads them:
figures of others were made so. Pictures of one's own, in folders and by `bood score`, are read as
they are meant:

- 16 bits a channel are scaled to 8 by the range of their type (12-bit TIFF by its own), not cut;
- the EXIF orientation is applied;
- transparency is laid on white, whatever colour hides below it;
- of an animation or a file of several pages, the first is taken;
- CMYK, palettes, 1 bit and YCbCr are converted by Pillow. Colour profiles are not applied;
- floats and 32-bit numbers have no stated range: they are refused.
"""

import numpy as np
import PIL.Image

BACKGROUND = (255, 255, 255)  # below transparency
ORIENTATION, BITS, PHOTOMETRIC = 0x0112, 258, 262  # tags of EXIF and TIFF
DEEP = ("I;16", "I;16L", "I;16B", "I;16N")
TURNED = "turned upright by EXIF"
METADATA = "with damaged metadata, taken as stored"
SCALED = "16-bit, scaled to 8 bits"
ON_WHITE = "with transparency, laid on white"
FIRST = "animated or of several pages, the first taken"

_METHODS = PIL.Image.Transpose
_TURNS = {  # what turns a picture upright, by its orientation
    2: _METHODS.FLIP_LEFT_RIGHT, 3: _METHODS.ROTATE_180, 4: _METHODS.FLIP_TOP_BOTTOM,
    5: _METHODS.TRANSPOSE, 6: _METHODS.ROTATE_270, 7: _METHODS.TRANSVERSE, 8: _METHODS.ROTATE_90,
}  # fmt: skip


def _deep_to_grey(picture: PIL.Image.Image) -> PIL.Image.Image:
    """Return 16-bit grey as 8-bit: v / 257 rounded, 65535 being white."""
    values = np.asarray(picture).astype(np.uint32)
    tags = getattr(picture, "tag_v2", {})
    bits = tags.get(BITS, (16,))
    bits = bits[0] if isinstance(bits, tuple) else bits
    most = 2 ** min(max(int(bits), 8), 16) - 1
    grey = ((values.clip(max=most) * 255 + most // 2) // most).astype(np.uint8)
    if tags.get(PHOTOMETRIC) == 0:  # white is zero
        grey = 255 - grey
    hidden = picture.info.get("transparency")
    if isinstance(hidden, int):
        grey[values == hidden] = BACKGROUND[0]
    return PIL.Image.fromarray(grey)


def _numbers_to_grey(picture: PIL.Image.Image) -> PIL.Image.Image:
    """Return a PPM's 16 bits, which Pillow reads as 32-bit numbers.

    Raises ValueError for other numbers."""
    if picture.format != "PPM":
        kind = "floats" if picture.mode == "F" else "32-bit numbers"
        raise ValueError(f"{kind} have no stated range; save it with 8 or 16 bits a channel")
    values = np.asarray(picture).astype(np.int64).clip(0, 65535)
    return PIL.Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))


def _on_white(picture: PIL.Image.Image) -> tuple[PIL.Image.Image, bool]:
    """Return a picture with transparency on white, and whether any pixel of it is transparent."""
    if picture.mode in ("La", "RGBa"):
        picture = picture.convert({"La": "LA", "RGBa": "RGBA"}[picture.mode])
    picture = picture.convert("RGBA")
    alpha = picture.getchannel("A")
    transparent = alpha.getextrema()[0] < 255
    flat = picture.convert("RGB")
    if transparent:
        white = PIL.Image.new("RGB", flat.size, BACKGROUND)
        flat = PIL.Image.composite(flat, white, alpha)
    return flat, transparent


def to_rgb(picture: PIL.Image.Image) -> tuple[PIL.Image.Image, tuple[str, ...]]:
    """Return a picture as RGB, and what was done to it; see the head of this module.

    The picture itself is decoded and else left as it is. Raises whatever its decoder does, and
    ValueError for floats and 32-bit numbers.
    """
    notes = []
    if picture.format != "MPO" and getattr(picture, "is_animated", False):
        notes.append(FIRST)
    stored = picture.size
    try:
        orientation = picture.getexif().get(ORIENTATION, 1)
    except Exception:  # what a decoder of metadata raises says nothing of the pixels
        orientation = None
        notes.append(METADATA)
    picture.load()  # Pillow turns a TIFF here
    if picture.mode in DEEP:
        flat = _deep_to_grey(picture).convert("RGB")
        notes.append(SCALED)
    elif picture.mode in ("I", "F"):
        flat = _numbers_to_grey(picture).convert("RGB")
        notes.append(SCALED)
    elif picture.mode in ("La", "RGBa") or picture.has_transparency_data:
        flat, transparent = _on_white(picture)
        notes += [ON_WHITE] * transparent
    else:
        flat = picture.convert("RGB")
    if orientation in range(2, 9):
        notes.append(TURNED)
        if picture.format != "TIFF":
            flat = flat.transpose(_TURNS[orientation])
    elif stored != picture.size:
        notes.append(TURNED)
    flat.info = {}  # nothing is left to apply twice
    return flat, tuple(notes)

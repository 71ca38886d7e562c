"""One conversion for each mode: whatever picture a decoder gives, and whatever it raises."""

import io
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import PIL.Image
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bood_tasks.datasets import pictures
from bood_tasks.datasets.foreign import decoding
from bood_tasks.datasets.pictures import (
    FORMATS,
    MOST_RESIZED,
    fit_picture,
    read_picture,
    read_told,
    rows_given,
)
from bood_tasks.datasets.pixels import FIRST, METADATA, ON_WHITE, SCALED, TURNED, to_rgb

RNG = np.random.default_rng(0)
IMAGE = {"size": 16, "fit": "resize"}


def ramp(mode: str, width: int, height: int) -> PIL.Image.Image:
    """A picture of a mode that brightens from left to right, whole range."""
    if mode == "I;16":
        line = np.linspace(0, 65535, width).astype(np.uint16)
        return PIL.Image.fromarray(np.tile(line, (height, 1)))
    grey = PIL.Image.fromarray(np.tile(np.linspace(0, 255, width).astype(np.uint8), (height, 1)))
    return grey.convert(mode) if mode in "LP" else grey.convert("RGB").convert(mode)


KINDS = {  # format: modes that it keeps
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "JPEG": ("L", "RGB", "CMYK"),
    "WEBP": ("RGB", "RGBA"),
    "BMP": ("L", "RGB"),
    "GIF": ("L", "P"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"),
    "AVIF": ("RGB", "RGBA"),
    "PPM": ("L", "RGB", "I;16"),
}
PAIRS = [(kind, mode) for kind, modes in KINDS.items() for mode in modes]


def saved(picture: PIL.Image.Image, kind: str, **more) -> bytes:
    buffer = io.BytesIO()
    lossless = {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind == "JPEG" else {}
    picture.save(buffer, kind, **lossless, **more)
    return buffer.getvalue()


def read(tmp_path, content: bytes, **image):
    (tmp_path / "x.png").write_bytes(content)
    return read_told(rows_given([tmp_path / "x.png"]), 0, **IMAGE | image)


@pytest.mark.parametrize(("kind", "mode"), PAIRS)
def test_every_mode_of_every_format_keeps_its_brightness(tmp_path, kind, mode):
    """Against the same ramp, 8-bit grey: what a mode makes white or black would differ."""
    found, _ = read(tmp_path, saved(ramp(mode, 64, 64), kind), size=64)
    plain = np.asarray(ramp("L", 64, 64).convert("RGB"), int)
    if mode == "1":  # dithered: alike in the mean of each part
        found, plain = (np.asarray(x, int).reshape(64, 4, 16, 3).mean((0, 2, 3))
                        for x in (found, plain))  # fmt: skip
    limit = 16 if mode in ("CMYK", "YCbCr", "1") or kind in ("JPEG", "AVIF") else 1
    assert np.abs(np.asarray(found, int) - plain).max() <= limit


@given(
    pair=st.sampled_from(PAIRS), width=st.integers(1, 40), height=st.integers(1, 40),
    turn=st.sampled_from([None, *range(10)]), size=st.integers(1, 20),
    fit=st.sampled_from(["pad", "resize", "squash"]), data=st.data(),
)  # fmt: skip
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
def test_any_picture_whole_or_damaged_is_read_or_named(
    tmp_path_factory, pair, width, height, turn, size, fit, data
):
    kind, mode = pair
    more = {}
    if turn is not None and kind in ("PNG", "JPEG", "WEBP", "TIFF"):
        more["exif"] = PIL.Image.Exif()
        more["exif"][0x0112] = turn
    content = bytearray(saved(ramp(mode, width, height), kind, **more))
    damage = data.draw(st.sampled_from(["none", "none", "cut", "zeros", "flip"]))
    place = data.draw(st.integers(0, len(content) - 1))
    if damage == "cut":
        content = content[:place]
    elif damage == "zeros":
        content[place : place + 4] = b"\0" * len(content[place : place + 4])
    elif damage == "flip":
        content[place] ^= 1 << data.draw(st.integers(0, 7))
    file = tmp_path_factory.getbasetemp() / "any.jpg"
    file.write_bytes(content)
    found, notes = read_told(rows_given([file]), 0, size=size, fit=fit, max_pixels=10_000)
    if isinstance(found, str):
        assert damage != "none"
        assert "any.jpg: no " in found
        return
    assert found.shape == (size, size, 3)
    assert found.dtype == np.uint8
    if damage == "none":
        assert (TURNED in notes) == (turn in range(2, 9) and "exif" in more)
        assert (SCALED in notes) == (mode == "I;16")


def test_sixteen_bits_are_scaled_to_eight(tmp_path):
    deep = ramp("I;16", 64, 64)
    grey = (np.asarray(deep) / 257).round()
    for kind in ("PNG", "TIFF", "PPM"):
        found, notes = read(tmp_path, saved(deep, kind), size=64)
        assert np.array_equal(found[..., 0], grey)
        assert notes == (SCALED,)


def test_white_is_zero_and_twelve_bits_of_a_tiff(tmp_path):
    values = np.array([[0, 1000, 65535]], np.uint16)
    buffer = io.BytesIO()
    PIL.Image.fromarray(values).save(buffer, "TIFF", tiffinfo={262: 0})
    assert read(tmp_path, buffer.getvalue(), size=3, fit="pad")[0][1, :, 0].tolist() == [
        255,
        251,
        0,
    ]
    picture = PIL.Image.fromarray(np.array([[0, 2048, 4095]], np.uint16))
    picture.tag_v2 = {258: (12,)}
    assert np.asarray(to_rgb(picture)[0])[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize("mode", ["F", "I"])
def test_numbers_without_a_range_are_refused(tmp_path, mode):
    told, _ = read(tmp_path, saved(PIL.Image.new(mode, (4, 4), 7), "TIFF"))
    assert "have no stated range; save it with 8 or 16 bits" in told


UPRIGHT = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
STORED = {  # what a camera stores so that the tag turns it to UPRIGHT
    1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1), 6: lambda a: np.rot90(a, 1), 7: lambda a: a[::-1, ::-1]
    .swapaxes(0, 1), 8: lambda a: np.rot90(a, -1),
}  # fmt: skip


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("turn", STORED)
def test_pictures_are_turned_upright(tmp_path, turn, kind):
    tag = PIL.Image.Exif()
    tag[0x0112] = turn
    stored = PIL.Image.fromarray(np.ascontiguousarray(STORED[turn](UPRIGHT)))
    content = saved(stored, kind, exif=tag)
    found, notes = read(tmp_path, content, size=9, fit="pad")
    assert np.array_equal(found[1:7], UPRIGHT)
    assert notes == (TURNED,) * (turn > 1)
    given = PIL.Image.open(io.BytesIO(content))  # a caller's, opened: the same
    assert np.array_equal(read_picture(rows_given([given]), 0, size=9, fit="pad"), found)


def test_published_pictures_are_not_turned(tmp_path):
    from bood_tasks.datasets.read_folders import read_pictures

    tag = PIL.Image.Exif()
    tag[0x0112] = 6
    PIL.Image.fromarray(UPRIGHT).save(tmp_path / "x.png", exif=tag)
    rows = read_pictures(tmp_path)[0]["test"]
    assert np.array_equal(read_picture(rows, 0, size=9, fit="pad")[1:7], UPRIGHT)


def test_damaged_metadata_leave_the_pixels(tmp_path):
    picture = PIL.Image.fromarray(UPRIGHT)
    for exif in (b"Exif\0\0rubbish", b"Exif\0\0MM\0*\xff\xff\xff\xff"):
        found, notes = read(tmp_path, saved(picture, "PNG", exif=exif), size=9, fit="pad")
        assert np.array_equal(found[1:7], UPRIGHT)
        assert notes in ((METADATA,), ())


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_transparency_is_laid_on_white(tmp_path, kind):
    values = np.zeros((1, 3, 4), np.uint8)
    values[0] = [(255, 0, 255, 0), (200, 0, 0, 128), (9, 8, 7, 255)]  # hidden magenta
    content = saved(PIL.Image.fromarray(values), kind, **{"exact": True} if kind == "WEBP" else {})
    found, notes = read(tmp_path, content, size=3, fit="pad")
    assert found[1, 0].tolist() == [255, 255, 255]
    assert np.abs(found[1, 1].astype(int) - [227, 127, 127]).max() <= 1
    assert found[1, 2].tolist() == [9, 8, 7]
    assert notes == (ON_WHITE,)


def test_one_transparent_colour_of_a_palette_and_of_grey(tmp_path):
    grey = PIL.Image.fromarray(np.array([[10, 20, 30]], np.uint8))
    for picture in (grey, grey.convert("P")):
        content = saved(picture, "PNG", transparency=20)
        found, notes = read(tmp_path, content, size=3, fit="pad")
        assert found[1, :, 0].tolist() == [10, 255, 30]
        assert notes == (ON_WHITE,)


def test_opaque_alpha_is_no_change(tmp_path):
    content = saved(PIL.Image.fromarray(UPRIGHT).convert("RGBA"), "PNG")
    found, notes = read(tmp_path, content, size=9, fit="pad")
    assert np.array_equal(found[1:7], UPRIGHT)
    assert notes == ()


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_an_animation_the_first_frame_is_taken(tmp_path, kind):
    frames = [PIL.Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "green")]
    content = saved(frames[0], kind, save_all=True, append_images=frames[1:])
    found, notes = read(tmp_path, content, size=8)
    assert np.abs(found.astype(int) - [255, 0, 0]).max() <= 2
    assert notes == (FIRST,)


def test_programs_are_never_started_by_a_picture(tmp_path, monkeypatch):
    marked = tmp_path / "started"
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {marked}\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"
    told, _ = read(tmp_path, eps)
    assert "no picture that can be read: cannot identify image file" in told
    assert not marked.exists()
    assert not {"EPS", "PDF", "WMF", "MPEG"} & set(FORMATS)


def test_too_many_pixels_or_bytes_are_refused_before_decoding(tmp_path, monkeypatch):
    content = saved(PIL.Image.new("L", (100, 100)), "PNG")
    monkeypatch.setattr(PIL.Image.Image, "load", None)  # would fail if called
    told, _ = read(tmp_path, content, max_pixels=9_999)
    assert told.endswith("no PNG that can be read: it has 10,000 pixels, more than 9,999")
    monkeypatch.setattr(pictures, "MAX_BYTES", len(content) - 1)
    assert "bytes, more than" in read(tmp_path, content)[0]


def test_what_is_no_plain_file_is_named_at_once(tmp_path):
    os.mkfifo(tmp_path / "x.png")
    told = read_picture(rows_given([tmp_path / "x.png", "/dev/zero", tmp_path]), 0, **IMAGE)
    assert told == f"{tmp_path}/x.png: no picture that can be read: it is no plain file"
    for item in ("/dev/zero", tmp_path, tmp_path / "absent.png", "a\0b"):
        assert "no picture that can be read" in read_picture(rows_given([item]), 0, **IMAGE)


class Raises(Exception):
    """An error of a decoder's own kind."""


@pytest.mark.parametrize(
    "error", [Raises("odd"), RuntimeError(), MemoryError(), LookupError("k"), SystemError("s"),
              RecursionError(), OSError("truncated"), StopIteration()],
)  # fmt: skip
def test_whatever_a_decoder_raises_is_named(tmp_path, error, monkeypatch):
    def fail(*_given, **_more):
        raise error

    content = saved(PIL.Image.fromarray(UPRIGHT), "PNG")
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", fail)
    told, notes = read(tmp_path, content)
    assert told.startswith(f"{tmp_path}/x.png: no PNG that can be read: ")
    assert str(error) in told
    assert notes == ()
    with (
        pytest.raises(ValueError, match=r"x\.mat must be a file: .*; copy it again"),
        decoding(tmp_path / "x.mat", "a file"),
    ):
        raise error


def test_the_machines_fault_is_no_pictures_fault(tmp_path, monkeypatch):
    def fail(*_given, **_more):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(PIL.Image, "open", fail)
    with pytest.raises(OSError, match="Too many open files"):
        read(tmp_path, b"x")


def test_one_picture_of_a_caller_is_used_by_one_thread_at_a_time_and_stays_open(tmp_path):
    PIL.Image.fromarray(RNG.integers(0, 256, (300, 300, 3), dtype=np.uint8)).save(
        tmp_path / "x.png"
    )
    given = PIL.Image.open(tmp_path / "x.png")
    inside, most, load = [], [], given.load

    def watched():
        inside.append(threading.get_ident())
        most.append(len(inside))
        time.sleep(0.01)  # others would come in
        found = load()
        inside.pop()
        return found

    given.load = watched
    rows = rows_given([given] * 16)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: read_picture(rows, i, **IMAGE), range(16)))
    assert max(most) == 1
    assert all(np.array_equal(found[0], item) for item in found)
    assert given.getpixel((0, 0)) is not None  # not closed


@pytest.mark.parametrize("shape", [(1, 100_000), (100_000, 1), (7, 30_000)])
def test_oblong_pictures_are_cut_before_they_are_scaled(shape, monkeypatch):
    made, resize = [], PIL.Image.Image.resize

    def watched(self, size, *given, **more):
        made.append(size[0] * size[1])
        return resize(self, size, *given, **more)

    picture = PIL.Image.fromarray(RNG.integers(0, 256, (*shape, 3), dtype=np.uint8))
    whole = fit_reference(picture, 32)
    monkeypatch.setattr(PIL.Image.Image, "resize", watched)
    found = fit_picture(picture, size=32, fit="resize")
    assert max(made) <= MOST_RESIZED * 32 * 32
    assert np.abs(found.astype(int) - whole).max() <= 1


def fit_reference(picture: PIL.Image.Image, size: int) -> np.ndarray:
    """The plain way: all of the picture scaled, the centre cut out."""
    scale = size / min(picture.size)
    scaled = picture.resize([round(side * scale) for side in picture.size], 2)
    left, top = ((side - size) // 2 for side in scaled.size)
    return np.asarray(scaled.crop((left, top, left + size, top + size)), int)

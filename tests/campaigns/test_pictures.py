"""Uploaded pictures: what is kept is small, upright and without what the camera wrote."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from campaigns import pictures
from campaigns.pictures import LARGEST, PictureError, checked


def upload(
    kind: str = "JPEG",
    size: tuple[int, int] = (3_000, 2_000),
    mode: str = "RGB",
    *,
    plain: bool = False,
    **options: Any,
) -> io.BytesIO:
    """Make a picture of noise, which compresses badly; a plain one is black, and quickly made."""
    made = io.BytesIO()
    image = Image.new("L", size) if plain else Image.effect_noise(size, 90)
    image.convert(mode).save(made, kind, **options)
    made.seek(0)
    return made


def kept(file: io.BytesIO) -> Any:
    picture = checked(file, size=len(file.getvalue()))
    assert len(picture.content) <= LARGEST and pictures.NAME.fullmatch(picture.name)
    return Image.open(io.BytesIO(picture.content))


def test_a_large_picture_is_made_smaller() -> None:
    assert kept(upload()).size == (1_440, 960)


def test_one_that_is_turned_stands_upright_and_keeps_no_place() -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Camera of somebody"
    image = kept(upload(size=(400, 200), exif=exif))
    assert image.size == (200, 400) and not image.getexif()


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF"])
def test_other_kinds_are_taken_too(kind: str) -> None:
    assert kept(upload(kind, (300, 200))).size == (300, 200)


def test_what_can_be_seen_through_stays_so() -> None:
    assert kept(upload("PNG", (200, 200), "RGBA")).mode == "RGBA"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: io.BytesIO(b"<svg onload=alert(1)>"), "no picture that can be read"),
        (lambda: io.BytesIO(b"\xff\xd8\xff\xe0 broken"), "no picture that can be read"),
        (lambda: io.BytesIO(upload("PNG", (300, 200)).getvalue()[:5_000]), "no picture that can be read"),
        (lambda: upload("BMP", (100, 100)), "no picture that can be read"),
        (lambda: upload("PNG", (20, 20)), "at least 64"),
        (lambda: upload("PNG", (8_000, 6_000), "1", plain=True), "make it smaller"),
    ],
    ids=["svg", "broken", "cut off", "another kind", "too small", "too large"],
)
def test_what_is_no_picture_or_too_large_is_refused(make: Callable[[], io.BytesIO], said: str) -> None:
    file = make()
    with pytest.raises(PictureError, match=said):
        checked(file, size=len(file.getvalue()))


def test_a_huge_file_is_not_even_opened() -> None:
    with pytest.raises(PictureError, match="10 MB are the most"):
        checked(io.BytesIO(b""), size=10 * 1024 * 1024 + 1)


def test_no_two_names_are_alike() -> None:
    assert len({checked(upload(size=(64, 64)), size=1).name for _ in range(5)}) == 5

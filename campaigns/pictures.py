"""Pictures that marketers upload: checked, made small enough for every provider, kept under a secret name."""

import io
import re
import secrets
from typing import IO, Any, NamedTuple

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.utils.translation import gettext as _
from PIL import Image, ImageOps, UnidentifiedImageError

LARGEST_UPLOAD = 10 * 1024 * 1024
LARGEST = 1_000_000
"""Bytes of a kept picture: Android shows none above 1 MB
(firebase.google.com/docs/cloud-messaging/android/send-image)."""
MOST_PIXELS = 40_000_000
WIDEST = 1_440
"""Pixels of the longer side; no notification shows more."""
SMALLEST = 64
KINDS = ("JPEG", "PNG", "WEBP", "GIF")
FOLDER = "pictures"
NAME = re.compile(r"[A-Za-z0-9_-]{22}\.(?:jpg|png)")

_QUALITIES = (86, 75, 60, 45)


class PictureError(ValueError):
    """A picture that cannot be used, and what to do about it."""


class Picture(NamedTuple):
    """A picture ready to be kept: the name nobody can guess, and its bytes."""

    name: str
    content: bytes

    @property
    def path(self) -> str:
        """Where it is reached below the hub's address."""
        return f"/media/{FOLDER}/{self.name}"


def checked(upload: IO[bytes], *, size: int) -> Picture:
    """Return an uploaded file as a picture to keep, drawn anew and without what the camera wrote beside it.

    Raises `PictureError`. Of a moving picture the first frame is kept.
    """
    if size > LARGEST_UPLOAD:
        raise PictureError(
            _("The file has %(size)s MB; %(largest_upload)s MB are the most. Export it smaller.")
            % {"size": f"{size / 1000000.0:.1f}", "largest_upload": LARGEST_UPLOAD // 1024 // 1024}
        )
    try:
        image: Any = Image.open(upload, formats=KINDS)
        width, height = image.size
        if width * height > MOST_PIXELS:
            raise PictureError(
                _("The picture has %(width)s × %(height)s pixels; make it smaller.")
                % {"width": f"{width:,}", "height": f"{height:,}"}
            )
        if min(width, height) < SMALLEST:
            raise PictureError(
                _(
                    "The picture has %(width)s × %(height)s pixels; a notification needs at least"
                    " %(smallest)s each way."
                )
                % {"width": width, "height": height, "smallest": SMALLEST}
            )
        image.load()
        image = ImageOps.exif_transpose(image)
    except PictureError:
        raise
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError):
        raise PictureError(
            _("This is no picture that can be read; upload a JPEG, PNG, WebP or GIF.")
        ) from None
    image.thumbnail((WIDEST, WIDEST))
    return _drawn(image)


def keep(picture: Picture) -> None:
    """Store a picture; from then on whoever knows its address sees it."""
    default_storage.save(f"{FOLDER}/{picture.name}", ContentFile(picture.content))


def _drawn(image: Any) -> Picture:
    secret = secrets.token_urlsafe(16)
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        out = io.BytesIO()
        image.convert("RGBA").save(out, "PNG", optimize=True)
        if out.tell() <= LARGEST:
            return Picture(f"{secret}.png", out.getvalue())
        flat = Image.new("RGB", image.size, "white")
        flat.paste(image.convert("RGBA"), mask=image.convert("RGBA").getchannel("A"))
        image = flat
    image = image.convert("RGB")
    for quality in _QUALITIES:
        out = io.BytesIO()
        image.save(out, "JPEG", quality=quality, optimize=True, progressive=True)
        if out.tell() <= LARGEST:
            break
    return Picture(f"{secret}.jpg", out.getvalue())

"""Serves the pictures that marketers uploaded: whoever knows the secret name sees one, nothing else is served."""

from django.core.files.storage import default_storage
from django.http import FileResponse, Http404, HttpRequest
from django.views.decorators.http import require_safe

from campaigns.pictures import FOLDER, NAME

HEADERS = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "cross-origin",
}


@require_safe
def picture(request: HttpRequest, name: str) -> FileResponse:
    """Return a picture by its name."""
    if not NAME.fullmatch(name) or not default_storage.exists(f"{FOLDER}/{name}"):
        raise Http404("There is no such picture.")
    kind = "image/png" if name.endswith(".png") else "image/jpeg"
    return FileResponse(default_storage.open(f"{FOLDER}/{name}"), content_type=kind, headers=HEADERS)

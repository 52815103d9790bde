"""Renders the demo page as the hub does, without the hub's apps and databases."""

from pathlib import Path

from django.template import Context, Engine

ROOT = Path(__file__).resolve().parents[2]


def static_folder() -> Path:
    """The folder that the hub serves as /static/notifyhub/."""
    return ROOT / "delivery" / "static" / "notifyhub"


def render_device_page(*, socket_path: str, token_url: str, subscriber: str, application: str) -> str:
    """Return the HTML of templates/demo/device.html with its static files under /static/."""
    engine = Engine(dirs=[str(ROOT / "templates")], libraries={"static": f"{__package__}.static_tag"})
    names = {
        "socket_path": socket_path,
        "token_url": token_url,
        "subscriber": subscriber,
        "application": application,
    }
    return engine.get_template("demo/device.html").render(Context(names))

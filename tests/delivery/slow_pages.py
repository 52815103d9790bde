"""A web process whose run pages look once an hour, unless something is told: `python -m tests.delivery.slow_pages`."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "notifyhub.settings")

from notifyhub import asgi, web  # noqa: F401  (the first prepares Django)

if __name__ == "__main__":
    from delivery.admin import live

    live.EVERY = 3_600.0
    web.main()

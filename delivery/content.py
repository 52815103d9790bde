"""What a notification says on one platform: the rendered text and what each provider may do with it."""

from typing import Any

import msgspec


class Content(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Rendered content; an empty field is not sent.

    `link` and `image` are URLs. `badge` is the number on the app's icon. `android`, `ios` and `web` hold
    what only that platform knows, in the provider's words with underscores: `channel_id`,
    `click_action`; `thread_id`, `interruption_level`, `category`; `icon`, `require_interaction`.
    """

    title: str = ""
    body: str = ""
    subtitle: str = ""
    image: str = ""
    link: str = ""
    data: dict[str, str] = {}
    sound: str = ""
    badge: int | None = None
    android: dict[str, Any] = {}
    ios: dict[str, Any] = {}
    web: dict[str, Any] = {}

"""A person of a page and the devices a run may reach them on: plain values, no framework."""

from typing import Any

import msgspec

_read_json = msgspec.json.Decoder(dict[str, Any]).decode


class Target(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A device of a page: where a message goes.

    `uid` is 16 bytes; `locale` and `time_zone` may be empty. `purpose` is what its token is for (`devices.purposes`).
    """

    id: int
    uid: bytes
    platform: str
    provider: str
    token: str
    sandbox: bool
    locale: str
    time_zone: str
    purpose: str = ""


class Person(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A subscriber of a page with the active devices that the segment means.

    `uid` is 16 bytes, `attributes` JSON text, `locale` and `time_zone` may be empty (then the
    application's hold), `allowed` what the person chose for the category asked about: None if nothing.
    `quiet_hours` are as `devices.quiet_hours` reads them; empty: the application's. `best_hour` is of
    their own day, -1 while it is not known (`devices.best_hours`).
    """

    id: int
    uid: bytes
    external_id: str
    locale: str
    time_zone: str
    attributes: str
    consent: bool
    allowed: bool | None
    devices: list[Target]
    quiet_hours: str = ""
    best_hour: int = -1

    def known(self) -> dict[str, Any]:
        """Return the attributes decoded; every call decodes anew."""
        return {} if self.attributes == "{}" else _read_json(self.attributes)

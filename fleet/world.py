"""Everything the fleet knows, and the part of it that a restart on the same folder finds again."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec

from fleet.apns_keys import ApnsKey
from fleet.devices import PROVIDERS, Batch, Devices, Provider
from fleet.faults import Faults
from fleet.letters import Letters
from fleet.oauth import ServiceAccount
from fleet.record import Record
from fleet.tls import write_private

_FILE = "world.json"


class _Kept(msgspec.Struct):
    """What stands in the folder; the record of arrivals does not."""

    secret: bytes
    accounts: list[ServiceAccount] = []
    apns_keys: list[ApnsKey] = []
    batches: list[Batch] = []
    ports: dict[str, int] = {}


class World:
    """The state behind all endpoints; one thread uses it.

    Credentials, devices and ports outlive a restart, so that a hub that stored them goes on;
    arrivals, faults and dead tokens do not.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / _FILE
        kept = self._load()
        self._secret = kept.secret
        self.accounts = {account.project: account for account in kept.accounts}
        self.apns_keys = {key.key_id: key for key in kept.apns_keys}
        self.devices = Devices(kept.secret, kept.batches)
        self.ports = kept.ports
        self.record = Record()
        self.letters = Letters()
        self.faults: dict[Provider, Faults] = {}
        self.refused_dead: Counter[int] = Counter()
        self.cut: Callable[[Provider], None] = lambda provider: None
        """Closes all connections of a provider; whoever listens puts it here."""
        self.heal()

    def _load(self) -> _Kept:
        if not self._path.exists():
            return _Kept(secret=secrets.token_bytes(32))
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_Kept)
        except msgspec.MsgspecError as error:
            text = f"{self._path} cannot be read ({error}); remove the folder to start afresh"
            raise ValueError(text) from error

    def keep(self) -> None:
        """Write what must outlive this process."""
        kept = _Kept(
            self._secret,
            list(self.accounts.values()),
            list(self.apns_keys.values()),
            self.devices.batches,
            self.ports,
        )
        write_private(self._path, msgspec.json.encode(kept))

    def heal(self) -> None:
        """End all faults; tokens that were killed live again."""
        self.faults.update({provider: Faults() for provider in PROVIDERS})
        self.devices.revive_all()

    def forget(self) -> None:
        """Forget what arrived."""
        self.record.forget()
        self.letters.forget()
        self.refused_dead.clear()

    def is_dead(self, provider: Provider, device: int) -> bool:
        return self.devices.dead_since(device) is not None or self.faults[provider].strikes(device)

    def dead_since(self, provider: Provider, device: int) -> int:
        """Return when a dead token died, in milliseconds since the epoch."""
        since = self.devices.dead_since(device)
        if since is not None:
            return since
        faults = self.faults[provider]
        return faults.since if faults.strikes(device) else int(time.time() * 1000)

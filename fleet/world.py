"""Everything the fleet knows, and the part of it that a restart on the same folder finds again."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from fleet.apns_certificates import ApnsCertificate
from fleet.apns_keys import ApnsKey
from fleet.devices import PROVIDERS, Batch, Devices, Provider
from fleet.faults import Faults
from fleet.letters import Letters
from fleet.oauth import ServiceAccount
from fleet.record import Record
from fleet.tls import write_private
from fleet.trouble import Trouble

_FILE = "world.json"


class _Kept(msgspec.Struct):
    """What stands in the folder; the record of arrivals does not."""

    secret: bytes
    accounts: list[ServiceAccount] = []
    apns_keys: list[ApnsKey] = []
    apns_certificates: list[ApnsCertificate] = []
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
        self.apns_certificates = kept.apns_certificates
        self.devices = Devices(kept.secret, kept.batches)
        self.ports = kept.ports
        self.record = Record()
        self.letters = Letters()
        self.trouble: dict[Provider, Trouble] = {}
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
            secret=self._secret,
            accounts=list(self.accounts.values()),
            apns_keys=list(self.apns_keys.values()),
            apns_certificates=self.apns_certificates,
            batches=self.devices.batches,
            ports=self.ports,
        )
        write_private(self._path, msgspec.json.encode(kept))

    def heal(self) -> None:
        """End all faults; tokens that were killed live again."""
        self.trouble.update({provider: self._trouble(provider, Faults()) for provider in PROVIDERS})
        self.devices.revive_all()

    def forget(self) -> None:
        """Forget what arrived."""
        self.record.forget()
        self.letters.forget()
        self.refused_dead.clear()

    def break_(self, provider: Provider, **changes: Any) -> Faults:
        """Change a provider's faults and return all that hold now. Raises `msgspec.ValidationError`."""
        now = msgspec.structs.asdict(self.trouble[provider].faults)
        faults = msgspec.convert(now | changes, Faults, from_attributes=True)
        self.trouble[provider] = self._trouble(provider, faults)
        return faults

    def _trouble(self, provider: Provider, faults: Faults) -> Trouble:
        return Trouble(faults, lambda: self.cut(provider))

    def device(self, token: str) -> int:
        """Return the device of a token, endpoint or name. Raises `ValueError`."""
        device = self.devices.find(token)
        if device is None:
            raise ValueError(f"token: no device of this fleet has {token!r}")
        return device

    def dead_since(self, provider: Provider, device: int) -> int | None:
        """Return when a token died (milliseconds since the epoch), None while it lives; who asks was refused."""
        since = self.devices.dead_since(device)
        trouble = self.trouble[provider]
        if since is None and trouble.strikes(device):
            since = trouble.faults.since
        if since is not None:
            self.refused_dead[device] += 1
        return since

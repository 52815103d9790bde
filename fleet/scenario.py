"""A scenario: what exists when the fleet starts, written down as files for a sender, and which faults come when."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import Annotated, Any, Self

import msgspec

from fleet.breaking import Breaker, NewFaults
from fleet.devices import Environment
from fleet.making import Maker, NewDevices, NewKey, NewProject
from fleet.tls import write_private

_Count = Annotated[int, msgspec.Meta(ge=0, le=4_000_000)]


class ScenarioError(ValueError):
    """A scenario that cannot be read or set; the text says where and why."""


class FcmPart(msgspec.Struct, forbid_unknown_fields=True):
    """A project and its Android phones."""

    project: str
    devices: _Count = 0


class ApnsPart(msgspec.Struct, forbid_unknown_fields=True):
    """A key and iPhones of its first topic."""

    topics: Annotated[list[str], msgspec.Meta(min_length=1)]
    team: str | None = None
    environment: Environment = "production"
    devices: _Count = 0


class WebPushPart(msgspec.Struct, forbid_unknown_fields=True):
    """Push subscriptions; with a key only its owner may send to them."""

    devices: _Count = 0
    application_server_key: str | None = None


class Act(msgspec.Struct, forbid_unknown_fields=True):
    """So many seconds after the start all faults end (`heal`) or some begin; `faults` is as POST /faults takes it."""

    at: Annotated[float, msgspec.Meta(ge=0)]
    faults: NewFaults | None = None
    heal: bool = False


class Scenario(msgspec.Struct, forbid_unknown_fields=True):
    """The whole file."""

    fcm: list[FcmPart] = []
    apns: list[ApnsPart] = []
    webpush: list[WebPushPart] = []
    acts: list[Act] = []

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a TOML file. Raises `ScenarioError`."""
        try:
            return msgspec.toml.decode(path.read_bytes(), type=cls)
        except (OSError, msgspec.MsgspecError, ValueError) as error:
            raise ScenarioError(f"{path}: {error}") from error


class Stage:
    """Sets a scenario: makes what it names, once for each folder, and lets its acts happen."""

    def __init__(self, folder: Path, *, maker: Maker, breaker: Breaker) -> None:
        self._folder = folder / "made"
        self._maker = maker
        self._breaker = breaker
        self._acting: asyncio.Task[None] | None = None

    async def set(self, scenario: Scenario) -> None:
        """Make what exists and start the clock of the acts. Raises `ScenarioError`.

        Credentials and addresses are written below `made/`; what stands there from an earlier start is not made again.
        """
        self._folder.mkdir(exist_ok=True)
        try:
            for fcm in scenario.fcm:
                await self._make_fcm(fcm)
            for apns in scenario.apns:
                self._make_apns(apns)
            for number, webpush in enumerate(scenario.webpush, 1):
                self._make_webpush(webpush, number)
        except ValueError as error:
            raise ScenarioError(f"scenario: {error}") from error
        self._acting = asyncio.create_task(self._act(scenario.acts))

    async def end(self) -> None:
        """Let no more acts happen."""
        if self._acting is not None:
            self._acting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._acting

    async def _act(self, acts: list[Act]) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        for act in sorted(acts, key=lambda act: act.at):
            await asyncio.sleep(began + act.at - loop.time())
            if act.heal:
                await self._breaker.heal()
            if act.faults is not None:
                try:
                    await self._breaker.set(act.faults)
                except ValueError as error:
                    print(f"fleet: the act at {act.at} s failed: {error}", file=sys.stderr, flush=True)

    async def _make_fcm(self, part: FcmPart) -> None:
        account = await self._maker.project(NewProject(part.project))
        # Always anew: the address of the token endpoint stands in it.
        self._write(f"fcm-{part.project}.json", self._maker.document(account))
        wish = NewDevices("fcm", part.devices, project=part.project)
        self._make_tokens(f"fcm-{part.project}.tokens", wish)

    def _make_apns(self, part: ApnsPart) -> None:
        name = f"apns-{part.topics[0]}"
        if not (self._folder / f"{name}.json").exists():
            key = self._maker.key(NewKey(part.topics, part.team))
            file = f"AuthKey_{key.key_id}.p8"
            write_private(self._folder / file, key.private_key.encode())
            about = {"team_id": key.team_id, "key_id": key.key_id, "topics": key.topics, "key_file": file}
            self._write(f"{name}.json", about)
        wish = NewDevices("apns", part.devices, topic=part.topics[0], environment=part.environment)
        self._make_tokens(f"{name}.tokens", wish)

    def _make_tokens(self, file: str, wish: NewDevices) -> None:
        if wish.count and not (self._folder / file).exists():
            made = self._maker.devices(wish)
            (self._folder / file).write_text("".join(token + "\n" for token in made["tokens"]))

    def _make_webpush(self, part: WebPushPart, number: int) -> None:
        file = f"webpush-{number}.json"
        if part.devices and not (self._folder / file).exists():
            key = part.application_server_key
            made = self._maker.devices(NewDevices("webpush", part.devices, application_server_key=key))
            self._write(file, made["subscriptions"])

    def _write(self, file: str, content: Any) -> None:
        write_private(
            self._folder / file, msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"
        )

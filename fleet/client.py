"""A Python client of the fleet: starts the process and speaks its control API."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

_ROOT = Path(__file__).resolve().parent.parent


class FleetError(RuntimeError):
    """The fleet did not start, or refused a call; the text is its own."""


class Fleet:
    """A running fleet. Made by `start` (owns the process) or `attach` (does not)."""

    def __init__(self, ready: dict[str, Any], process: subprocess.Popen[bytes] | None = None) -> None:
        self.fcm_url: str = ready["fcm_url"]
        self.apns_url: str = ready["apns_url"]
        self.apns_sandbox_url: str = ready["apns_sandbox_url"]
        self.webpush_url: str = ready["webpush_url"]
        self.oauth_url: str = ready["oauth_url"]
        self.control_url: str = ready["control_url"]
        self.ca_file: str = ready["ca_file"]
        self.pid: int = ready["pid"]
        self._process = process
        self._address = urlsplit(self.control_url).netloc

    @classmethod
    def start(cls, data_dir: Path | str, *, within: float = 15.0, **options: float) -> Self:
        """Start a fleet and return once it is ready; it ends with this process at the latest.

        `options` are those of `python -m fleet` with underscores (`fcm_port=0`, `latency_ms=50`).
        Output goes to fleet.log in the folder. Raises `FleetError` with the log's end.
        """
        folder = Path(data_dir).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "fleet", "--data", str(folder), "--parent", str(os.getpid())]
        for name, value in options.items():
            command += ["--" + name.replace("_", "-"), str(value)]
        log = folder / "fleet.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=_ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            ready = _ready(folder)
            if ready is not None and ready["pid"] == process.pid:
                return cls(ready, process)
            if process.poll() is not None:
                break
            time.sleep(0.02)
        process.kill()
        process.wait()
        raise FleetError(f"the fleet did not start: {log.read_text(errors='replace')[-2000:].strip()}")

    @classmethod
    def attach(cls, data_dir: Path | str) -> Self:
        """Return a client of the fleet that runs on this folder. Raises `FleetError` where none does."""
        ready = _ready(Path(data_dir))
        if ready is None:
            raise FleetError(f"no fleet runs on {data_dir}: start one with python -m fleet --data {data_dir}")
        return cls(ready)

    def stop(self, *, within: float = 3.0) -> None:
        """End the process if this client started it."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(within)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def make_project(self, project: str | None = None) -> dict[str, Any]:
        """Return {project, service_account}; the same again for a known name."""
        return self._post("/fcm/projects", project=project)

    def make_apns_key(
        self, *, topics: list[str], team: str | None = None, environment: str | None = None
    ) -> dict[str, Any]:
        """Return {team_id, key_id, private_key, topics, environment}."""
        return self._post("/apns/keys", topics=topics, team=team, environment=environment)

    def make_fcm_devices(self, count: int, *, project: str) -> list[str]:
        """Return the tokens of new Android phones."""
        tokens: list[str] = self._post("/devices", provider="fcm", count=count, project=project)["tokens"]
        return tokens

    def make_apns_devices(self, count: int, *, topic: str, environment: str = "production") -> list[str]:
        """Return the tokens of new iPhones."""
        wish = {"provider": "apns", "count": count, "topic": topic, "environment": environment}
        tokens: list[str] = self._post("/devices", **wish)["tokens"]
        return tokens

    def make_subscriptions(
        self, count: int, *, application_server_key: str | None = None
    ) -> list[dict[str, Any]]:
        """Return push subscriptions as `PushSubscription.toJSON()` does: {endpoint, expirationTime, keys}.

        With `application_server_key` (the VAPID public key, base64url) only its owner may send to them. Where a call
        wants a token, the endpoint is the token.
        """
        wish = {"provider": "webpush", "count": count, "application_server_key": application_server_key}
        made: list[dict[str, Any]] = self._post("/devices", **wish)["subscriptions"]
        return made

    def make_apns_certificate(self, *, topics: list[str], environment: str | None = None) -> dict[str, Any]:
        """Return {certificate, private_key, topics, environment}, both PEM, to show in the TLS handshake."""
        return self._post("/apns/certificates", topics=topics, environment=environment)

    def open_sockets(self, url: str, pairs: Iterable[tuple[str, str]], *, manner: str = "normal") -> int:
        """Start socket devices from pairs of (subscriber token, device name); return how many.

        `manner`: normal, no_ack (stores and never acknowledges), no_read (reads nothing after its hello) or
        dead (and says nothing either).
        """
        tokens = [{"token": token, "device": device} for token, device in pairs]
        return int(self._post("/sockets", url=url, tokens=tokens, manner=manner)["started"])

    def start_pullers(
        self,
        url: str,
        pairs: Iterable[tuple[str, str]],
        *,
        interval_ms: float = 30_000,
        jitter: float = 0.1,
    ) -> int:
        """Start devices that ask an inbox every so often, from (subscriber token, device name); return how many."""
        tokens = [{"token": token, "device": device} for token, device in pairs]
        plan = {"url": url, "tokens": tokens, "interval_ms": interval_ms, "jitter": jitter}
        return int(self._post("/pullers", **plan)["started"])

    def pullers(self) -> dict[str, Any]:
        """Return {total, pulls, failures, by_state}."""
        return self._call("GET", "/pullers")

    def stop_pullers(self) -> int:
        """Stop them all; return how many."""
        return int(self._call("DELETE", "/pullers")["stopped"])

    def sockets(self) -> dict[str, Any]:
        """Return {total, open, hello, hellos, bad_frames, by_state}."""
        return self._call("GET", "/sockets")

    def close_sockets(self, count: int | None = None) -> int:
        """Close all in order, or `count` abruptly, for good; return how many."""
        return int(self._call("DELETE", "/sockets", params=_set(count=count))["closed"])

    def cut_sockets(self, count: int | None = None) -> int:
        """Cut connections; their devices come back. Return how many."""
        return int(self._post("/sockets/cut", count=count)["cut"])

    def arrived(
        self, *, run: str | None = None, provider: str | None = None, tokens: Iterable[str] = ()
    ) -> dict[str, Any]:
        """Return counts by provider and under `total`: {accepted, distinct_messages, devices, repeats, …}."""
        params: list[tuple[str, Any]] = [("token", token) for token in tokens]
        params += list(_set(run=run, provider=provider).items())
        return self._call("GET", "/arrived", params=params)

    def arrived_for(self, tokens: Iterable[str], *, run: str | None = None) -> dict[str, Any]:
        """Return each token's messages: [{notification, run, times, first_at, last_at, screen}]."""
        return self._post("/arrived/query", tokens=list(tokens), run=run)

    def arrivals(self, *, run: str | None = None, after: int = 0, limit: int = 10_000) -> dict[str, Any]:
        """Return {arrivals: [[device, notification, first_at, times]], next, total}; `next`: the next `after`."""
        return self._call("GET", "/arrivals", params=_set(run=run, after=after, limit=limit))

    def instants(self, run: str) -> Iterator[tuple[str, int]]:
        """Yield (notification, first arrival in ms since the epoch) of every message of a run."""
        after = 0
        while True:
            query = urlencode({"run": run, "after": after})
            headers, body = self._ask("GET", f"/instants?{query}", None)
            for line in body.decode().splitlines():
                notification, _, at = line.rpartition(" ")
                yield notification, int(at)
            if int(headers["next"]) == after:
                return
            after = int(headers["next"])

    def ages(self, run: str | None = None) -> dict[str, Any]:
        """Return {count, p50, p90, p95, p99, p999, max} in ms of messages that carried their event's time."""
        return self._call("GET", "/ages", params=_set(run=run))

    def screen(self, token: str) -> dict[str, Any]:
        """Return {accepted, refused_dead, notices} of one device."""
        return self._call("GET", "/screen", params={"token": token})

    def messages(self, token: str | None = None) -> list[dict[str, Any]]:
        """Return the last messages word for word, of a device or of all: {provider, token, asked, payload}."""
        found: list[dict[str, Any]] = self._call("GET", "/messages", params=_set(token=token))["messages"]
        return found

    def answers(self) -> dict[str, Any]:
        """Return how often each answer was given: {fcm, apns, webpush: {reason: n}, oauth_tokens}."""
        return self._call("GET", "/answers")

    def wait(
        self,
        *,
        at_least: int,
        run: str | None = None,
        provider: str | None = None,
        token: str | None = None,
        timeout: float = 10.0,
    ) -> int:
        """Return the number of distinct messages once it is `at_least`. Raises `FleetError` in time."""
        params = _set(run=run, provider=provider, token=token, at_least=at_least, timeout=timeout)
        answer = self._call("GET", "/wait", params=params)
        if not answer["reached"]:
            raise FleetError(f"{answer['distinct_messages']} of {at_least} messages arrived in {timeout} s")
        return int(answer["distinct_messages"])

    def set_faults(self, provider: str, **faults: Any) -> dict[str, Any]:
        """Change faults (see README.md for their names); return all that hold."""
        return self._post("/faults", provider=provider, **faults)

    def clear_faults(self) -> None:
        """End all faults and revive dead tokens."""
        self._call("DELETE", "/faults")

    def reset(self) -> None:
        """Forget what arrived."""
        self._post("/reset")

    def _post(self, path: str, **body: Any) -> dict[str, Any]:
        return self._call("POST", path, body=_set(**body))

    def _call(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, Any] | list[tuple[str, Any]] | None = None,
        body: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        target = f"{path}?{urlencode(params)}" if params else path
        _, content = self._ask(method, target, None if body is None else json.dumps(body))
        answer: dict[str, Any] = json.loads(content)
        return answer

    def _ask(self, method: str, target: str, body: str | None) -> tuple[Mapping[str, str], bytes]:
        # The standard library's client, because it needs no HTTP/2 package to import.
        connection = http.client.HTTPConnection(self._address, timeout=330.0)
        where = f"{method} {target.partition('?')[0]}"
        try:
            connection.request(method, target, body)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise FleetError(f"{where}: no answer from {self.control_url}: {error}") from error
        finally:
            connection.close()
        if response.status >= 400:
            raise FleetError(f"{where}: {json.loads(content)['error']}")
        return dict(response.headers), content


def _set(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _ready(folder: Path) -> dict[str, Any] | None:
    try:
        ready: dict[str, Any] = json.loads((folder / "fleet.json").read_bytes())
    except (OSError, ValueError):
        return None
    return ready

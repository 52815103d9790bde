"""A service that sends events over kept connections: batches as fast as they are taken, or by a timetable."""

import http.client
import json
import threading
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

SECONDS = 60.0
"""Longest wait for an answer."""


class FeedError(Exception):
    """The hub did not take what it was sent; says what it answered."""


class Shot(NamedTuple):
    """An event of a timetable: when it was to be sent, when it was, and when the answer came (epoch seconds)."""

    intended: float
    started: float
    answered: float


class Connection:
    """One kept connection to `/api/v1/events` with an API key; not to be shared by threads."""

    def __init__(self, host: str, port: int, key: str) -> None:
        self._http = http.client.HTTPConnection(host, port, timeout=SECONDS)
        self._headers = {"Authorization": f"Bearer {key}"}

    def send(self, documents: Sequence[dict[str, Any]]) -> None:
        """Send events as one batch; raises `FeedError` unless all of them are stored now."""
        kind = "application/cloudevents-batch+json"
        body = json.dumps(documents).encode()
        for attempt in (1, 2):
            try:
                self._http.request("POST", "/api/v1/events", body, {**self._headers, "Content-Type": kind})
                response = self._http.getresponse()
                answer = json.loads(response.read())
                break
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
                # a kept connection that the server closed meanwhile: the same events again are the same events
                self._http.close()
                if attempt == 2:
                    raise FeedError(f"POST /api/v1/events: {error}") from error
            except (OSError, ValueError) as error:
                raise FeedError(f"POST /api/v1/events: {error}") from error
        if response.status != 202 or answer["accepted"] + answer["repeated"] != len(documents):
            raise FeedError(f"POST /api/v1/events: {response.status} {json.dumps(answer)[:500]}")

    def close(self) -> None:
        self._http.close()


class Service:
    """Sends to a hub at `host` and `port` with an API key, from several threads."""

    def __init__(self, host: str, port: int, key: str, *, threads: int) -> None:
        self._place = (host, port, key)
        self._threads = threads
        self._errors: list[FeedError] = []

    def pour(self, documents: Sequence[dict[str, Any]], *, batch: int) -> float:
        """Send all events in batches, as fast as they are taken; return the seconds it took."""
        batches = [documents[start : start + batch] for start in range(0, len(documents), batch)]
        began = time.monotonic()
        self._share(len(batches), lambda connection, at: connection.send(batches[at]))
        return time.monotonic() - began

    def follow(self, documents: Sequence[dict[str, Any]], *, rate: float, begin: float) -> list[Shot]:
        """Send event i at `begin + i / rate` (epoch seconds), whatever became of those before it.

        Only a thread that still waits for an answer keeps its next event waiting, and the event's intended time stays
        what it was: whatever is counted from there leaves no wait out.
        """
        shots: list[Shot | None] = [None] * len(documents)

        def send(connection: Connection, at: int) -> None:
            intended = begin + at / rate
            time.sleep(max(0.0, intended - time.time()))
            started = time.time()
            connection.send([documents[at]])
            shots[at] = Shot(intended, started, time.time())

        self._share(len(documents), send)
        return [shot for shot in shots if shot is not None]

    def _share(self, count: int, do: Any) -> None:
        """Let the threads take the numbers up to `count` one after another."""
        self._errors.clear()
        numbers = iter(range(count))
        lock = threading.Lock()

        def work() -> None:
            connection = Connection(*self._place)
            try:
                while not self._errors:
                    with lock:
                        at = next(numbers, None)
                    if at is None:
                        return
                    do(connection, at)
            except FeedError as error:
                self._errors.append(error)
            finally:
                connection.close()

        workers = [threading.Thread(target=work, daemon=True) for _ in range(min(self._threads, count))]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        if self._errors:
            raise self._errors[0]


def event(number: int, *, kind: str, subject: str, series: str, data: dict[str, Any]) -> dict[str, Any]:
    """Return a CloudEvent; `series` and `number` are its identity."""
    return {
        "specversion": "1.0",
        "id": f"{series}-{number}",
        "source": "/bench",
        "type": kind,
        "subject": subject,
        "data": data,
    }

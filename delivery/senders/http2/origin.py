"""The connections to one provider: how many, which request goes over which, and which are given up."""

from collections import deque
from collections.abc import Callable

from delivery.senders.http2.connection import Connection, ConnectionEndError, Stream
from delivery.senders.http2.link import Link, Where
from delivery.senders.loop import Loop
from delivery.senders.network import Network

CONNECTIONS = 8
"""The most to a provider, for those that allow fewer streams on one than we have requests."""
MOST_STREAMS = 1_000
"""The most on a connection, whatever the provider allows."""
CONNECT_SECONDS = 5.0
IDLE_SECONDS = 300.0
"""A connection that was not used for so long is not used again."""
PROBE_SECONDS = 2.0
"""A connection that was silent before anything is sent has so long for the sign of life that it is asked for."""
TRIES = 3
"""How often a request is started that its provider refuses, or whose connection ends before it was written."""
REST_SECONDS = 1.0
"""No further connection is tried for so long after one that failed, while others stand."""


class Session:
    """A connection and its link."""

    def __init__(self, origin: "Origin", connection: Connection, now: float) -> None:
        self.connection = connection
        self.since = self.heard = now
        self.is_open = False
        self.is_probed = False
        self.is_slow = False
        self.pinged_at = now
        self.link = Link(
            origin.loop,
            origin.where,
            on_open=self._opened,
            on_data=self._received,
            on_end=self._end,
        )
        self._origin = origin

    @property
    def room(self) -> int:
        """How many more requests may be started."""
        return self.connection.room if self.is_open and not self.is_probed else 0

    def write(self) -> None:
        """Move to the socket what is written, unless it has not yet taken what it got before."""
        connection = self.connection
        if self.is_open and connection.has_output and not self.link.blocked:
            data = connection.take()
            connection.sent += len(data)
            self.link.write(data)

    def probe(self, now: float) -> None:
        """Ask for a sign of life, and send nothing before it comes."""
        self.is_probed = True
        self.ping(now)

    def ping(self, now: float) -> None:
        """Ask for a sign of life, unless one is awaited."""
        if self.connection.quiet:
            self.pinged_at = now
            self.connection.ping()

    def _opened(self, protocol: str) -> None:
        if protocol != "h2":
            self._origin.speaks_http1()
            self.link.end("the provider does not speak HTTP/2")
            return
        self.is_open = True
        self.heard = self.since = self._origin.loop.now
        self.write()

    def _received(self, data: bytes) -> None:
        self.heard = self._origin.loop.now
        try:
            self.connection.receive(data)
        except ConnectionEndError as error:
            self.link.end(f"the provider does not speak HTTP/2 as it should: {error}")
            return
        if self.connection.quiet:
            self.is_probed = False
        if not self.connection.streams:
            self.write()

    def _end(self, why: str) -> None:
        self.connection.close(why)
        self._origin.ended(self, why)


class Origin:
    """What a scheme, host and port name. `on_http1` takes the requests of a provider that cannot do HTTP/2."""

    def __init__(
        self,
        loop: Loop,
        where: Where,
        *,
        network: Network,
        bare: frozenset[bytes],
        on_http1: Callable[[Stream], None],
    ) -> None:
        self.loop = loop
        self.where = where
        self.sessions: list[Session] = []
        self._authority = where.host if where.port == 443 else f"{where.host}:{where.port}"
        self._timeout = network.request_seconds
        self._network = network
        self._bare = bare
        self._on_http1 = on_http1
        self._is_http1 = False
        self._waiting: deque[Stream] = deque()
        self._current: Session | None = None
        self._rest_until = 0.0

    @property
    def busy(self) -> bool:
        """Whether anything is under way or waits."""
        return bool(self._waiting) or any(session.connection.streams for session in self.sessions)

    def start(self, stream: Stream) -> None:
        """Send a request as soon as there is room for it."""
        current = self._current
        if current is None:
            if self._is_http1:
                self._on_http1(stream)
                return
            stream.since = self.loop.now
            self._waiting.append(stream)
        elif not current.connection.start(stream, self.loop.now):
            self._choose()

    def wake(self, now: float) -> None:
        """Look after connections that nobody has used for a while, before they are used again."""
        for session in [*self.sessions]:
            silent = now - session.heard
            if session.connection.streams or not session.is_open:
                continue
            if silent > IDLE_SECONDS:
                session.link.end("not used for long")
            elif not session.is_probed and (
                silent > self._network.ping_seconds or not session.connection.quiet
            ):
                session.probe(now)
        self._choose()

    def prepare(self, now: float) -> float:
        """Do what is due, spread the waiting over the connections and write; return when to be called again."""
        wake = now + self._timeout
        for session in [*self.sessions]:
            wake = min(wake, self._look_after(session, now))
        self._requeue()
        self._spread(now)
        wake = min(wake, self._expire_waiting(now))
        for session in [*self.sessions]:
            session.write()
        return wake

    def drop(self, answers: object) -> None:
        """Give up all requests whose answers go there."""
        for session in self.sessions:
            connection = session.connection
            for number, stream in [*connection.streams.items()]:
                if stream.answers is answers:
                    connection.cancel(number)
                    stream.end("given up at the deadline", unknown=connection.has_left(stream))
        kept = [stream for stream in self._waiting if stream.answers is not answers]
        for stream in self._waiting:
            if stream.answers is answers:
                stream.end("given up at the deadline", unknown=False)
        self._waiting = deque(kept)

    def close(self, why: str) -> None:
        """Close all connections."""
        for session in [*self.sessions]:
            session.link.end(why)

    def speaks_http1(self) -> None:
        """Give the requests to whom it may concern, now and from now on."""
        self._is_http1 = True

    def ended(self, session: Session, why: str) -> None:
        """A session is over: send again elsewhere what may be, and answer the rest if there was no connection."""
        if session in self.sessions:
            self.sessions.remove(session)
        if self._current is session:
            self._current = None
        self._take_back(session)
        if not session.is_open:
            self._rest_until = self.loop.now + REST_SECONDS
            if self._is_http1:
                while self._waiting:
                    self._on_http1(self._waiting.popleft())
            elif not any(other.is_open for other in self.sessions):
                while self._waiting:
                    self._waiting.popleft().end(why, unknown=False)
                self._rest_until = 0.0

    def _look_after(self, session: Session, now: float) -> float:
        """Give up what takes too long; return when to look again."""
        connection = session.connection
        if not session.is_open:
            if now >= session.since + CONNECT_SECONDS:
                session.link.end("no connection in time")
                return now
            if not session.is_slow and now >= session.since + CONNECT_SECONDS / 2:
                session.is_slow = True
                session.link.give_up_address()
            return session.since + (CONNECT_SECONDS if session.is_slow else CONNECT_SECONDS / 2)
        if session.is_probed:
            if now >= session.pinged_at + PROBE_SECONDS:
                session.link.end("no sign of life")
                return now
            return session.pinged_at + PROBE_SECONDS
        if not connection.draining and now - session.since > self._network.connection_seconds:
            connection.draining = "too old"
        if not connection.streams:
            if connection.draining:
                session.link.end(connection.draining)
            return now + self._timeout
        oldest = next(iter(connection.streams.values())).since
        silent_since = max(oldest, session.heard)
        patience = min(self._timeout / 2, self._network.ping_seconds)
        if now >= silent_since + patience:
            session.ping(now)
        if now < oldest + self._timeout:
            return min(oldest + self._timeout, max(silent_since + patience, now + 0.05))
        if not connection.quiet and now >= session.pinged_at + self._timeout / 4:
            session.link.end("no answer and no sign of life")
            return now
        while connection.streams:
            number, stream = next(iter(connection.streams.items()))
            if now < stream.since + self._timeout:
                return stream.since + self._timeout
            connection.cancel(number)
            stream.end(f"no answer within {self._timeout:g} s", unknown=connection.has_left(stream))
        return now + self._timeout

    def _take_back(self, session: Session) -> None:
        unstarted = session.connection.unstarted
        for stream in reversed(unstarted):
            if stream.tries >= TRIES:
                stream.end(
                    session.connection.draining or "the provider refuses the request for now", unknown=False
                )
            else:
                stream.since = self.loop.now
                self._waiting.appendleft(stream)
        unstarted.clear()

    def _requeue(self) -> None:
        for session in self.sessions:
            if session.connection.unstarted:
                self._take_back(session)

    def _choose(self) -> None:
        """Set the session that takes the next requests; nobody overtakes who waits."""
        self._current = None
        if not self._waiting:
            self._current = next((session for session in self.sessions if session.room > 0), None)

    def _spread(self, now: float) -> None:
        waiting = self._waiting
        for session in self.sessions:
            while waiting and session.room > 0:
                session.connection.start(waiting.popleft(), now)
        # APNs allows one stream until it has seen a token that is good: who has answered has told its limit.
        known = all(
            session.is_open and not session.is_probed and session.connection.answered
            for session in self.sessions
        )
        if waiting and known and now >= self._rest_until and len(self.sessions) < CONNECTIONS:
            self._open(now)
        self._choose()

    def _open(self, now: float) -> None:
        connection = Connection(self._authority, bare=self._bare, most_streams=MOST_STREAMS)
        session = Session(self, connection, now)
        self.sessions.append(session)
        session.link.start()

    def _expire_waiting(self, now: float) -> float:
        waiting = self._waiting
        while waiting and now >= waiting[0].since + self._timeout:
            waiting.popleft().end("no connection was free in time", unknown=False)
        return waiting[0].since + self._timeout if waiting else now + self._timeout

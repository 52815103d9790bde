"""What goes wrong below HTTP, over real connections with libcurl: batches are cut, refused and left unanswered."""

from __future__ import annotations

import contextlib
import io
import json
import socket
import ssl
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pycurl
import pytest
from jh2 import events
from jh2.config import H2Configuration
from jh2.connection import H2Connection
from joserfc import jwt
from joserfc.jwk import ECKey

from fleet.client import Fleet
from fleet.frames import SETTINGS_MAX_CONCURRENT_STREAMS

TOPIC = "com.example.rough"
RUN = "rough"
HTTP2_STREAM_ERROR = 92  # CURLE_HTTP2_STREAM, which pycurl has no name for


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A fleet of this module's own: its doors are shut and its connections cut."""
    with Fleet.start(tmp_path_factory.mktemp("rough")) as fleet:
        yield fleet


@pytest.fixture(autouse=True)
def _calm(fleet: Fleet) -> Iterator[None]:
    fleet.reset()
    yield
    fleet.clear_faults()


@pytest.fixture(scope="module")
def headers(fleet: Fleet) -> list[str]:
    key = fleet.make_apns_key(topics=[TOPIC])
    claims = {"iss": key["team_id"], "iat": int(time.time())}
    signing = ECKey.import_key(key["private_key"])
    bearer = jwt.encode({"alg": "ES256", "kid": key["key_id"]}, claims, signing, algorithms=["ES256"])
    return [f"apns-topic: {TOPIC}", "apns-push-type: alert", f"authorization: bearer {bearer}"]


@pytest.fixture(scope="module")
def tokens(fleet: Fleet) -> list[str]:
    return fleet.make_apns_devices(40, topic=TOPIC)


class Talk:
    """One HTTP/2 connection to APNs, request by request."""

    def __init__(self, fleet: Fleet) -> None:
        host, port = urlsplit(fleet.apns_url).netloc.split(":")
        context = ssl.create_default_context(cafile=fleet.ca_file)
        context.set_alpn_protocols(["h2"])
        self._socket = context.wrap_socket(
            socket.create_connection((host, int(port)), timeout=10), server_hostname=host
        )
        self.client = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.client.initiate_connection()
        self._seen: list[Any] = []
        self.wait_for(events.RemoteSettingsChanged)

    @property
    def limit(self) -> int:
        return self.client.remote_settings.max_concurrent_streams

    def start(self, token: str, headers: list[str]) -> int:
        """Begin a request and return its stream."""
        stream = self.client.get_next_available_stream_id()
        fields = [(":method", "POST"), (":path", f"/3/device/{token}"), (":scheme", "https")]
        fields += [(":authority", "fleet"), *(line.split(": ", 1) for line in headers)]
        self.client.send_headers(stream, fields)
        self.client.send_data(stream, b'{"aps": {"alert": "hi"}}', end_stream=True)
        return stream

    def wait_for(self, kind: type) -> Any:
        """Return the next event of a kind; what came before it is passed over."""
        while True:
            for at, event in enumerate(self._seen):
                if isinstance(event, kind):
                    del self._seen[: at + 1]
                    return event
            self._socket.sendall(self.client.data_to_send())
            self._seen += self.client.receive_data(self._socket.recv(65_536))

    def ask(self, token: str, headers: list[str]) -> tuple[str, bytes]:
        """Send a request and return status and body of its answer."""
        self.start(token, headers)
        status = dict(self.wait_for(events.ResponseReceived).headers)[":status"]
        return status, b"" if status == "200" else self.wait_for(events.DataReceived).data

    def close(self) -> None:
        self._socket.close()


def bearer_of(fleet: Fleet) -> str:
    """Return the header line of a key for the topic."""
    key = fleet.make_apns_key(topics=[TOPIC])
    signing = ECKey.import_key(key["private_key"])
    claims = {"iss": key["team_id"], "iat": int(time.time())}
    token = jwt.encode({"alg": "ES256", "kid": key["key_id"]}, claims, signing, algorithms=["ES256"])
    return f"authorization: bearer {token}"


def test_a_connection_has_one_stream_until_a_good_provider_token_came(fleet, headers, tokens):
    with contextlib.closing(Talk(fleet)) as talk:
        assert talk.limit == 1
        status, body = talk.ask(tokens[0], [*headers[:2], "authorization: bearer nonsense"])
        assert (status, b"InvalidProviderToken" in body, talk.limit) == ("403", True, 1)
        assert talk.ask("0" * 64, headers)[0] == "400", (
            "a token that is no device's, with a good provider token"
        )
        assert talk.limit == 1000


def test_a_connection_may_have_all_its_streams_at_once_when_it_is_told_so(fleet, headers, tokens):
    fleet.set_faults("apns", streams_at_once=True)
    with contextlib.closing(Talk(fleet)) as talk:
        assert talk.limit == 1000
        assert talk.ask(tokens[0], headers)[0] == "200"


def test_who_opens_two_streams_too_soon_has_one_refused(fleet, headers, tokens):
    fleet.set_faults("apns", latency_ms=50)
    with contextlib.closing(Talk(fleet)) as talk:
        assert talk.ask(tokens[0], [*headers[:2], "authorization: bearer nonsense"])[0] == "403"
        talk.client.remote_settings._settings[SETTINGS_MAX_CONCURRENT_STREAMS].appendleft(2)
        wrong = [*headers[:2], "authorization: bearer nonsense"]
        talk.start(tokens[0], wrong)
        late = talk.start(tokens[1], wrong)
        refused = talk.wait_for(events.StreamReset)
        assert (refused.stream_id, refused.error_code) == (late, 0x7)


def test_a_connection_belongs_to_the_key_of_its_first_push(fleet, headers, tokens):
    with contextlib.closing(Talk(fleet)) as talk:
        assert talk.ask(tokens[0], headers)[0] == "200"
        status, body = talk.ask(tokens[0], [*headers[:2], bearer_of(fleet)])
        assert (status, body) == ("403", b'{"reason":"UnrelatedKeyIdInToken"}')
        assert talk.ask(tokens[0], headers)[0] == "200"


class Batch:
    """Sends over one HTTP/2 connection with up to `streams` at once; counts what became of them."""

    def __init__(
        self, fleet: Fleet, headers: list[str], tokens: list[str], *, timeout_ms: int = 5000
    ) -> None:
        self.outcomes: Counter[str] = Counter()
        self.bodies: list[bytes] = []
        multi = pycurl.CurlMulti()
        multi.setopt(pycurl.M_PIPELINING, 2)
        multi.setopt(pycurl.M_MAX_HOST_CONNECTIONS, 1)
        waiting = [self._handle(fleet, headers, token, timeout_ms) for token in tokens]
        for handle in waiting:
            multi.add_handle(handle)
        while self.outcomes.total() < len(tokens):
            multi.perform()
            multi.select(0.2)
            _, done, failed = multi.info_read(1000)
            for handle in done:
                self.outcomes[str(handle.getinfo(pycurl.RESPONSE_CODE))] += 1
                self.bodies.append(handle.answer.getvalue())
            for _, code, _ in failed:
                self.outcomes[f"curl {code}"] += 1
        for handle in waiting:
            multi.remove_handle(handle)
            handle.close()
        multi.close()

    @staticmethod
    def _handle(fleet: Fleet, headers: list[str], token: str, timeout_ms: int) -> Any:
        handle = pycurl.Curl()
        handle.answer = io.BytesIO()
        handle.setopt(pycurl.URL, f"{fleet.apns_url}/3/device/{token}")
        handle.setopt(pycurl.CAINFO, fleet.ca_file)
        handle.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2_0)
        handle.setopt(pycurl.PIPEWAIT, 1)
        handle.setopt(pycurl.TIMEOUT_MS, timeout_ms)
        handle.setopt(pycurl.HTTPHEADER, headers)
        handle.setopt(
            pycurl.POSTFIELDS, json.dumps({"aps": {"alert": "hi"}, "nh": {"id": token, "run": RUN}})
        )
        handle.setopt(pycurl.WRITEFUNCTION, handle.answer.write)
        return handle


def test_goaway_in_mid_batch_loses_nothing_of_a_client_that_minds_it(fleet, headers, tokens):
    fleet.set_faults(
        "apns", goaway={"after": 10, "count": 2, "every": 10, "reason": "Shutdown"}, latency_ms=20
    )
    batch = Batch(fleet, headers, tokens)
    assert batch.outcomes == {"200": 40}
    counts = fleet.arrived(run=RUN)["apns"]
    assert (counts["accepted"], counts["repeats"]) == (40, 0)


def test_an_abrupt_goaway_leaves_a_batch_without_answers(fleet, headers, tokens):
    fleet.set_faults("apns", goaway={"after": 10, "abrupt": True}, latency_ms=50)
    batch = Batch(fleet, headers, tokens)
    assert batch.outcomes["200"] < 40 and batch.outcomes.total() == 40
    assert fleet.arrived(run=RUN)["apns"]["distinct_messages"] >= 10


def test_few_streams_are_announced_and_a_batch_goes_through_them(fleet, headers, tokens):
    fleet.set_faults("apns", most_streams=2, latency_ms=5)
    assert Batch(fleet, headers, tokens).outcomes == {"200": 40}


def test_refused_streams_did_not_arrive_and_reset_ones_did(fleet, headers, tokens):
    # Of two sends libcurl itself repeats the refused one, as RFC 9113 allows.
    fleet.set_faults("apns", reset_streams={"code": "INTERNAL_ERROR", "count": 3})
    batch = Batch(fleet, headers, tokens)
    assert batch.outcomes["200"] == 37 and batch.outcomes[f"curl {HTTP2_STREAM_ERROR}"] == 3
    assert fleet.arrived(run=RUN)["apns"]["accepted"] == 40
    fleet.reset()
    fleet.set_faults("apns", reset_streams={"code": "REFUSED_STREAM", "count": 3})
    batch = Batch(fleet, headers, tokens)
    assert fleet.arrived(run=RUN)["apns"]["accepted"] == batch.outcomes["200"]


def test_a_huge_answer_arrives_whole_and_a_broken_one_does_not(fleet, headers, tokens):
    fleet.set_faults("apns", spoil={"how": "huge", "megabytes": 3})
    batch = Batch(fleet, headers, tokens[:1])
    assert batch.outcomes == {"200": 1} and len(batch.bodies[0]) > 3 << 20
    fleet.set_faults("apns", spoil={"how": "broken_off"})
    assert Batch(fleet, headers, tokens[:1]).outcomes["200"] == 0
    fleet.set_faults("apns", spoil={"how": "html", "status": 502})
    batch = Batch(fleet, headers, tokens[:1])
    assert batch.outcomes == {"502": 1} and b"<html>" in batch.bodies[0]


def test_a_silent_provider_takes_connections_and_never_answers(fleet, headers, tokens):
    fleet.set_faults("apns", silent=True)
    place = urlsplit(fleet.apns_url)
    with socket.create_connection((place.hostname, place.port), 5) as raw:
        raw.settimeout(0.3)
        with pytest.raises(TimeoutError):
            ssl.create_default_context(cafile=fleet.ca_file).wrap_socket(raw, server_hostname="localhost")
    fleet.set_faults("apns", silent=False)
    assert Batch(fleet, headers, tokens[:2]).outcomes == {"200": 2}


def one_by_one(fleet: Fleet, headers: list[str], token: str) -> Iterator[int]:
    """Yield what becomes of sends over one connection that stays: a status, or libcurl's error."""
    curl = pycurl.Curl()
    curl.setopt(pycurl.URL, f"{fleet.apns_url}/3/device/{token}")
    curl.setopt(pycurl.CAINFO, fleet.ca_file)
    curl.setopt(pycurl.HTTPHEADER, headers)
    curl.setopt(pycurl.POSTFIELDS, '{"aps":{"alert":"hi"}}')
    curl.setopt(pycurl.WRITEFUNCTION, lambda data: None)
    with contextlib.closing(curl):
        while True:
            try:
                curl.perform()
                yield int(curl.getinfo(pycurl.RESPONSE_CODE))
            except pycurl.error as error:
                yield int(error.args[0])
            curl.setopt(pycurl.TIMEOUT_MS, 300)  # The first had to connect; the others fail in vain.


def test_a_connection_that_stands_falls_silent_too(fleet, headers, tokens):
    sends = one_by_one(fleet, headers, tokens[0])
    assert next(sends) == 200
    fleet.set_faults("apns", silent=True)
    assert next(sends) == pycurl.E_OPERATION_TIMEDOUT
    sends.close()


def test_a_slow_reader_does_not_read_on_for_a_while(fleet, headers, tokens):
    sends = one_by_one(fleet, headers, tokens[0])
    assert next(sends) == 200
    fleet.set_faults("apns", slow_read=1)
    # What is read at once may be a whole send; it is paid for by not reading the next.
    assert pycurl.E_OPERATION_TIMEDOUT in (next(sends), next(sends))
    sends.close()


def test_a_slow_reader_loses_nothing(fleet, headers, tokens):
    fleet.set_faults("apns", slow_read=100_000)
    assert Batch(fleet, headers, tokens, timeout_ms=20_000).outcomes == {"200": 40}
    assert fleet.arrived(run=RUN)["apns"]["accepted"] == 40


def test_the_other_provider_notices_nothing(fleet):
    fleet.set_faults("apns", silent=True, goaway={"after": 1})
    place = urlsplit(fleet.fcm_url)
    context = ssl.create_default_context(cafile=fleet.ca_file)
    with (
        socket.create_connection((place.hostname, place.port), 5) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as secure,
    ):
        secure.sendall(b"GET /nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        answer = b""
        with contextlib.suppress(ssl.SSLEOFError):
            while part := secure.recv(4096):
                answer += part
    assert answer.startswith(b"HTTP/1.1 404")


def test_the_ready_file_names_every_door(fleet):
    ready = json.loads((Path(fleet.ca_file).parent / "fleet.json").read_bytes())
    assert {"fcm_url", "apns_url", "apns_sandbox_url", "webpush_url", "control_url"} < set(ready)

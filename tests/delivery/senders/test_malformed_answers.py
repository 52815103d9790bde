"""What a provider, or something between, cannot do by its answers: end a batch, or make us sure of something."""

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from delivery.senders import dispatch
from delivery.senders.apns import errors as apns
from delivery.senders.apns.sender import ApnsSender
from delivery.senders.contract import Credential, Envelope, Message, Result, Verdict
from delivery.senders.dispatch import Batch
from delivery.senders.engine import Answer, Request
from delivery.senders.fcm import errors as fcm
from delivery.senders.fcm.sender import FcmSender
from delivery.senders.tokens import MemoryTokenStore, SharedTokens
from tests.delivery.senders.rude import Rude, polite

EXAMPLES = 1_000
GOOD = (
    b'{"name": "projects/p/messages/0:1"}',
    b'{"error": {"code": 404, "message": "gone", "status": "NOT_FOUND", "details": [{"@type": "type.googleapis.com/'
    b'google.firebase.fcm.v1.FcmError", "errorCode": "UNREGISTERED"}]}}',
    b'{"reason": "Unregistered", "timestamp": 1900000000000}',
)
HTML = b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body>\xe9</body></html>"

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
names = st.sampled_from(["error", "name", "reason", "status", "details", "errorCode", "timestamp", "message"])
bodies = st.one_of(
    st.binary(max_size=80),
    st.sampled_from(GOOD).flatmap(lambda good: st.integers(0, len(good) - 1).map(lambda end: good[:end])),
    anything.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(names, anything, max_size=3).map(lambda value: json.dumps(value).encode()),
    st.dictionaries(names, anything, max_size=3).map(lambda value: json.dumps({"error": value}).encode()),
    st.just(HTML),
    st.just(b"x" * 65_000),
    st.just(b'{"x":' * 5_000),
    st.just(b'{"error":' + b"[" * 30_000),
    st.just(b'{"reason":"Unregistered","x":' + b"[" * 30_000),
)
statuses = st.sampled_from([200, 201, 204, 302, 400, 401, 403, 404, 410, 413, 429, 500, 502, 503, 504, 599])


class OneAnswer:
    """An engine that gives one answer to whatever is sent."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def run(self, requests: Iterator[Request], **_: object) -> Iterator[Answer]:
        for key, *_ in requests:
            yield msgspec.structs.replace(self._answer, key=key)


def results_of(judge: Callable[[Answer], Result], answer: Answer) -> list[Result]:
    envelope = Envelope(
        run="r",
        lane="high",
        expires_at=None,
        contents=[],
        messages=[Message(number, number, "t", "n", 0) for number in range(2)],
    )
    batch = Batch(
        envelope,
        engine=OneAnswer(answer),  # type: ignore[arg-type]
        build=lambda index, message, token: (index, "https://provider.test/", [], b""),
        judge=judge,
        authorize=lambda refused: "token",
        renewable=frozenset(),
        deadline=None,
        streams=10,
    )
    return list(batch.results())


def judge_apns(answer: Answer) -> Result:
    return apns.judge(answer, apns_id="id", sandbox=False)


def is_fcms(body: bytes) -> bool:
    """Whether FCM itself may have said so: a name, or a status or code of its tables."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return False
    if not isinstance(said, dict):
        return False
    error = said.get("error")
    return isinstance(said.get("name"), str) or (
        isinstance(error, dict) and isinstance(error.get("status"), str)
    )


def is_apns(body: bytes) -> bool:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(said, dict) and str(said.get("reason")) in apns.BY_REASON


@settings(max_examples=EXAMPLES, deadline=None)
@given(status=statuses, body=bodies)
def test_a_malformed_answer_of_fcm_is_unknown_and_tried_again(status: int, body: bytes) -> None:
    results = results_of(fcm.judge, Answer(0, status, body))
    assert len(results) == 2
    if not is_fcms(body):
        assert {(r.verdict, r.reason, r.unknown) for r in results} == {
            (Verdict.RETRY, dispatch.UNKNOWN_ANSWER, True)
        }


@settings(max_examples=EXAMPLES, deadline=None)
@given(status=statuses.filter(lambda status: status != 200), body=bodies)
def test_a_malformed_answer_of_apns_is_unknown_and_tried_again(status: int, body: bytes) -> None:
    results = results_of(judge_apns, Answer(0, status, body))
    assert len(results) == 2
    if not is_apns(body):
        assert {(r.verdict, r.reason, r.unknown) for r in results} == {
            (Verdict.RETRY, dispatch.UNKNOWN_ANSWER, True)
        }


def test_a_judge_that_fails_spoils_only_its_own_message(caplog: pytest.LogCaptureFixture) -> None:
    def judge(answer: Answer) -> Result:
        if answer.key == 0:
            raise RuntimeError("a fault of ours")
        return Result(answer.key, Verdict.SENT)

    first, second = results_of(judge, Answer(0, 200, b"{}"))
    assert (first.verdict, first.unknown) == (Verdict.RETRY, True)
    assert second == Result(1, Verdict.SENT)
    assert "cannot be judged" in caplog.text


@pytest.mark.parametrize("provider", ["fcm", "apns"])
@pytest.mark.parametrize(
    ("status", "body"),
    [(502, HTML), (400, GOOD[1][:60]), (500, b"[" * 60_000), (503, b"x" * 200_000), (404, b"")],
)
def test_over_the_wire_it_ends_as_unknown_too(
    rude: Rude,
    provider: str,
    status: int,
    body: bytes,
    fcm_credential: Credential,
    apns_credential: Credential,
    envelope_for: Callable[..., Envelope],
) -> None:
    rude.answers["v1"] = rude.answers["3"] = lambda handler: answer(handler, status, body)
    rude.answers["token"] = lambda handler: polite(handler, 200, b'{"access_token":"t","expires_in":3600}')
    tokens = SharedTokens(MemoryTokenStore())
    through = {"base_url": rude.url, "token_url": f"{rude.url}/token", "ca_file": rude.ca_file}
    if provider == "fcm":
        sender, credential = FcmSender(tokens), msgspec.structs.replace(fcm_credential, **through)
    else:
        sender, credential = ApnsSender(tokens), msgspec.structs.replace(apns_credential, **through)
    results = list(sender.send(envelope_for(["00" * 32] * 3), credential))
    assert sorted(result.index for result in results) == [0, 1, 2]
    assert {(result.verdict, result.unknown) for result in results} == {(Verdict.RETRY, True)}


def answer(handler: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
    polite(handler, status, body)

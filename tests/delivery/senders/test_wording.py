"""What a template makes of a message is what pyfcm and apns2 build for it, whatever was said before."""

import json
import time
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.content import Content
from delivery.senders import wording as module
from delivery.senders.apns import payload as apns
from delivery.senders.apns import sender as apns_sender
from delivery.senders.contract import Envelope, Message, notification_text
from delivery.senders.fcm import payload as fcm
from delivery.senders.fcm import sender as fcm_sender
from delivery.senders.fcm.builder import Builder
from delivery.senders.template import Marks
from delivery.senders.wording import BAD_CONTENT, Templates

RUN = "0190f3c2-0000-7000-8000-000000000001"
NOTIFICATION = "0190f3c2-0000-7000-8000-000000000002"
texts = st.text(st.characters(codec="utf-8"), max_size=8)
options = st.dictionaries(
    st.sampled_from(["channel_id", "click_action", "direct_boot_ok", "thread_id", "relevance_score"]),
    st.one_of(texts, st.booleans(), st.integers(0, 1), st.floats(0, 1)),
    max_size=2,
)
push_types = st.one_of(
    options,
    st.sampled_from(["alert", "background", "voip", "liveactivity", "widgets", "mdm"]).map(
        lambda kind: {"push_type": kind}
    ),
)
contents = st.builds(
    Content,
    title=texts,
    body=texts,
    subtitle=texts,
    image=texts,
    link=texts,
    data=st.dictionaries(texts, texts, max_size=3),
    sound=st.sampled_from(["", "ping"]),
    badge=st.one_of(st.none(), st.integers(0, 3)),
    android=options,
    ios=push_types,
    web=st.sampled_from([{}, {"icon": "/i.png", "require_interaction": True, "urgency": "low"}]),
)
ends = st.one_of(st.none(), st.sampled_from([1_000.0, 1_060.5, 9e9]))


platforms = st.sampled_from(["", "android", "ios", "web", "tv", "stick"])


def envelope_of(said: list[tuple[Content, str, float | None]], on: str = "", **fields: Any) -> Envelope:
    messages = [
        Message(number, number, token, NOTIFICATION, number, expires_at=end, platform=on)
        for number, (_, token, end) in enumerate(said)
    ]
    given = {"lane": "high", "expires_at": None} | fields
    return Envelope(run=RUN, contents=[content for content, _, _ in said], messages=messages, **given)


def fcms(content: Content, envelope: Envelope, *, token: str, now: float, platform: str) -> bytes | str:
    try:
        words = fcm.parameters(
            content, envelope, token=token, notification=NOTIFICATION, now=now, platform=platform
        )
    except fcm.ContentError as error:
        return str(error)
    return Builder().payload(**words)


def apnss(content: Content, envelope: Envelope) -> bytes | str:
    try:
        return msgspec.json.encode(apns.document(content, envelope, notification=NOTIFICATION, now=950))
    except apns.ContentError as error:
        return str(error)


kept_fcm = Templates(fcm_sender._build, ttl=fcm.time_to_live)
kept_apns = Templates(apns_sender._build, ttl=lambda ends, now, platform: int(now))


@given(
    said=st.lists(st.tuples(contents, texts.filter(bool), ends), min_size=1, max_size=4),
    end=ends,
    lane=st.sampled_from(["high", "bulk"]),
    tag=texts,
    collapse_key=texts,
    platform=platforms,
)
def test_every_message_is_what_its_builder_says(
    said: list[tuple[Content, str, float | None]],
    end: float | None,
    lane: str,
    tag: str,
    collapse_key: str,
    platform: str,
) -> None:
    envelope = envelope_of(said, platform, expires_at=end, lane=lane, tag=tag, collapse_key=collapse_key)
    fcm_words, apns_words = kept_fcm.wording(envelope), kept_apns.wording(envelope)
    fcm_words._began = apns_words._began = 950.0
    for message in envelope.messages:
        content = envelope.contents[message.content]
        own = message.expires_at if message.expires_at is not None else end
        alone = msgspec.structs.replace(envelope, expires_at=own)
        assert fcm_words.payload(message, NOTIFICATION) == fcms(
            content, alone, token=message.token, now=950.0, platform=platform
        )
        assert apns_words.payload(message, NOTIFICATION) == apnss(content, alone)


def test_contents_of_one_shape_are_built_once() -> None:
    built = []

    def build(content: Content, envelope: Envelope, marks: Marks, platform: str) -> bytes:
        built.append(content)
        return msgspec.json.encode({"title": content.title, "order": content.data["order"]})

    templates = Templates(build)
    said = [
        (Content(title=f"Hello {n}", data={"order": str(n)}, ios={"category": "C"}), "t", None)
        for n in range(50)
    ]
    for _ in range(3):
        envelope = envelope_of(said)
        wording = templates.wording(envelope)
        bodies = [wording.payload(message, NOTIFICATION) for message in envelope.messages]
        assert bodies == [f'{{"title":"Hello {n}","order":"{n}"}}'.encode() for n in range(50)]
    assert len(built) == 1
    other = envelope_of([(Content(title="Hello", data={"order": "1"}, ios={"category": "D"}), "t", None)])
    templates.wording(other).payload(other.messages[0], NOTIFICATION)
    assert len(built) == 2


def test_no_more_templates_are_kept_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_TEMPLATES", 3)
    templates = Templates(lambda content, envelope, marks, platform: msgspec.json.encode(content.title))
    envelope = envelope_of([(Content(title=str(n), data={f"k{n}": ""}), "t", None) for n in range(10)])
    wording = templates.wording(envelope)
    bodies = [wording.payload(message, NOTIFICATION) for message in envelope.messages]
    assert bodies == [f'"{n}"'.encode() for n in range(10)]
    assert len(templates._kept) == 3


@pytest.mark.parametrize(
    "content", [Content(title="T", android={"x": object()}), Content(title="half a pair: \ud83d")]
)
def test_what_is_not_json_is_a_reason_and_spoils_nothing_else(content: Content) -> None:
    envelope = envelope_of([(content, "t", None), (Content(title="T"), "t", None)])
    wording = kept_fcm.wording(envelope)
    bad, good = (wording.payload(message, NOTIFICATION) for message in envelope.messages)
    assert bad == BAD_CONTENT
    assert isinstance(good, bytes) and json.loads(good)["message"]["notification"]["title"] == "T"


def test_a_text_that_is_woven_into_a_longer_one_is_not_sent_as_a_mark() -> None:
    templates = Templates(lambda content, envelope, marks, platform: msgspec.json.encode(f"{content.title}!"))
    envelope = envelope_of([(Content(title="T"), "t", None)])
    assert templates.wording(envelope).payload(envelope.messages[0], NOTIFICATION) == BAD_CONTENT


def test_a_notification_may_come_as_its_sixteen_bytes() -> None:
    assert notification_text(Message(1, 1, "t", UUID(NOTIFICATION).bytes, 0)) == NOTIFICATION
    assert notification_text(Message(1, 1, "t", NOTIFICATION, 0)) == NOTIFICATION


def test_the_time_to_live_counts_from_when_the_envelope_was_taken() -> None:
    envelope = envelope_of([(Content(title="T"), "t", time.time() + 60)])
    body = kept_fcm.wording(envelope).payload(envelope.messages[0], NOTIFICATION)
    assert isinstance(body, bytes)
    assert json.loads(body)["message"]["android"]["ttl"] in ("59s", "60s")

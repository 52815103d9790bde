"""Several envelopes on their way in one thread."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from delivery.senders.apns.sender import ApnsSender
from delivery.senders.contract import Credential, Envelope, Result, Steps, Verdict
from delivery.senders.fcm.sender import FcmSender
from delivery.senders.together import together
from delivery.senders.tokens import MemoryTokenStore, SharedTokens
from fleet.client import Fleet

Tokens = Callable[..., list[str]]
EnvelopeFor = Callable[..., Envelope]


@pytest.fixture
def fcm() -> FcmSender:
    return FcmSender(SharedTokens(MemoryTokenStore()))


def test_envelopes_that_go_together_have_each_their_own_results(
    fleet: Fleet,
    fcm: FcmSender,
    fcm_credential: Credential,
    apns_credential: Credential,
    fcm_tokens: Tokens,
    apns_tokens: Tokens,
    envelope_for: EnvelopeFor,
) -> None:
    apns = ApnsSender(SharedTokens(MemoryTokenStore()))
    envelopes: dict[str, tuple[Envelope, Any, Credential]] = {
        f"fcm {number}": (envelope_for(fcm_tokens(60)), fcm, fcm_credential) for number in range(4)
    }
    envelopes["apns"] = (envelope_for(apns_tokens(80)), apns, apns_credential)
    results: dict[str, list[Result]] = {}
    ended = []
    sends = ((name, sender.steps(envelope, cred)) for name, (envelope, sender, cred) in envelopes.items())
    for name, result in together(sends, most=3):
        if result is None:
            ended.append(name)
        else:
            assert name not in ended
            results.setdefault(name, []).append(result)
    assert sorted(ended) == sorted(envelopes)
    for name, (envelope, _, _) in envelopes.items():
        assert sorted(result.index for result in results[name]) == list(range(len(envelope.messages)))
        assert {result.verdict for result in results[name]} == {Verdict.SENT}
        assert fleet.arrived(run=envelope.run)["total"]["accepted"] == len(envelope.messages)


def test_the_next_envelope_is_taken_only_when_one_ends() -> None:
    begun, ended = [], 0

    def steps(number: int) -> Steps:
        yield Result(0, Verdict.SENT)

    def sends() -> Iterator[tuple[int, Steps]]:
        for number in range(6):
            begun.append(number)
            yield number, steps(number)

    for _, result in together(sends(), most=2):
        ended += result is None
        assert len(begun) <= ended + 2
    assert begun == list(range(6)) and ended == 6


def test_a_provider_that_is_slow_holds_up_none_of_the_others(
    fleet: Fleet,
    fcm: FcmSender,
    fcm_credential: Credential,
    apns_credential: Credential,
    fcm_tokens: Tokens,
    apns_tokens: Tokens,
    envelope_for: EnvelopeFor,
) -> None:
    apns = ApnsSender(SharedTokens(MemoryTokenStore()))
    list(fcm.send(envelope_for(fcm_tokens(1)), fcm_credential))
    fleet.set_faults("fcm", lost_answers=1000)
    slow = fcm.steps(envelope_for(fcm_tokens(20)), fcm_credential, deadline=time.monotonic() + 6)
    quick = apns.steps(envelope_for(apns_tokens(300)), apns_credential)
    ends, verdicts = [], {"fcm": set(), "apns": set()}
    for name, result in together([("fcm", slow), ("apns", quick)], most=2):
        if result is None:
            ends.append(name)
        else:
            verdicts[name].add((result.verdict, result.unknown))
    assert ends == ["apns", "fcm"]
    assert verdicts == {"fcm": {(Verdict.RETRY, True)}, "apns": {(Verdict.SENT, False)}}


def test_who_leaves_early_leaves_nothing_under_way(
    fleet: Fleet, fcm: FcmSender, fcm_credential: Credential, fcm_tokens: Tokens, envelope_for: EnvelopeFor
) -> None:
    tokens = fcm_tokens(50)
    run = together([(n, fcm.steps(envelope_for(tokens), fcm_credential)) for n in range(2)], most=2)
    next(run)
    run.close()
    assert {result.verdict for result in fcm.send(envelope_for(tokens), fcm_credential)} == {Verdict.SENT}

"""How providers are reached: each setting does what it says, against the fleet."""

from collections.abc import Callable, Iterator

import msgspec
import pytest

from delivery.content import Content
from delivery.senders.apns.sender import ApnsSender
from delivery.senders.contract import Credential, Envelope, Message, Result, Sender, Verdict
from delivery.senders.fcm.sender import FcmSender
from delivery.senders.network import Network
from delivery.senders.registry import sender_for
from delivery.senders.tokens import MemoryTokenStore
from fleet.client import Fleet
from fleet.tls import NAME as ELSEWHERE
from tests.delivery.senders import tunnel
from tests.delivery.senders.tunnel import Tunnels

BOTH = pytest.mark.parametrize("provider", [FcmSender.provider, ApnsSender.provider])
Send = Callable[..., list[Result]]


@pytest.fixture
def proxy() -> Iterator[Tunnels]:
    with tunnel.serve() as made:
        yield made


@pytest.fixture
def send(
    fleet: Fleet,
    provider: str,
    fcm_credential: Credential,
    apns_credential: Credential,
    fcm_tokens: Callable[[int], list[str]],
    apns_tokens: Callable[[int], list[str]],
    envelope_for: Callable[..., Envelope],
) -> Send:
    """Send fifty messages to the fleet under a name that only a proxy knows."""
    credential, tokens = {"fcm": (fcm_credential, fcm_tokens), "apns": (apns_credential, apns_tokens)}[
        provider
    ]
    elsewhere = msgspec.structs.replace(
        credential, base_url=credential.base_url.replace("127.0.0.1", ELSEWHERE)
    )

    def send_by(network: Network, *, streams: int | None = None) -> list[Result]:
        sender: Sender = sender_for(provider, tokens=MemoryTokenStore(), network=network)
        return list(sender.send(envelope_for(tokens(50)), elsewhere, streams=streams))

    return send_by


def tally(results: list[Result]) -> set[tuple[Verdict, str]]:
    return {(result.verdict, result.reason) for result in results}


@BOTH
def test_all_goes_through_the_proxy(proxy: Tunnels, fleet: Fleet, send: Send, provider: str) -> None:
    assert tally(send(Network(proxy=proxy.url))) == {(Verdict.SENT, "")}
    url = fleet.fcm_url if provider == "fcm" else fleet.apns_url
    assert proxy.asked == [f"{ELSEWHERE}:{url.rpartition(':')[2]}"], "one tunnel for all"


@BOTH
def test_a_proxy_of_another_kind_carries_it_by_libcurl(proxy: Tunnels, send: Send) -> None:
    # a TLS proxy that is none: libcurl is asked, and says so
    broken = Network(proxy=proxy.url.replace("http://", "https://"))
    results = send(broken)
    assert tally(results) == {(Verdict.RETRY, "unreachable")} and not any(r.left for r in results)


@BOTH
def test_a_proxy_that_refuses_us_makes_the_provider_unreachable(proxy: Tunnels, send: Send) -> None:
    results = send(Network(proxy=f"http://127.0.0.1:{proxy.port}"))
    assert tally(results) == {(Verdict.RETRY, "unreachable")} and not any(r.left for r in results)
    assert proxy.refused and not proxy.asked


@BOTH
def test_the_environments_proxy_is_used_where_none_is_set(
    proxy: Tunnels, send: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", proxy.url)
    assert tally(send(Network(ping_seconds=29.0))) == {(Verdict.SENT, "")}
    assert len(proxy.asked) == 1


@BOTH
def test_this_machine_and_what_no_proxy_names_are_reached_without_one(
    proxy: Tunnels, send: Send, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", ELSEWHERE)
    assert tally(send(Network(proxy=proxy.url))) == {(Verdict.RETRY, "unreachable")}, "nobody knows the name"
    assert proxy.asked == []


@BOTH
def test_only_the_file_of_authorities_is_trusted(proxy: Tunnels, fleet: Fleet, provider: str) -> None:
    trusting = Network(ca_file=fleet.ca_file)
    for network, verdict in ((trusting, Verdict.SENT), (Network(), Verdict.RETRY)):
        sender = sender_for(provider, tokens=MemoryTokenStore(), network=network)
        credential, envelope = _without_authority(fleet, provider)
        results = list(sender.send(envelope, credential))
        assert {result.verdict for result in results} == {verdict}
        assert all(result.left == (verdict is Verdict.SENT) for result in results)


@BOTH
def test_a_request_has_as_long_as_is_set(send: Send, proxy: Tunnels, fleet: Fleet, provider: str) -> None:
    fleet.set_faults(provider, lost_answers=50)
    results = send(Network(proxy=proxy.url, request_seconds=0.3))
    assert tally(results) == {(Verdict.RETRY, "died_in_flight")} and all(result.unknown for result in results)


@BOTH
def test_an_old_connection_makes_room_for_a_new_one(
    proxy: Tunnels, fleet: Fleet, provider: str, send: Send
) -> None:
    fleet.reset()
    fleet.set_faults(provider, latency_ms=50)
    young = Network(proxy=proxy.url, connection_seconds=0.2)
    assert tally(send(young, streams=5)) == {(Verdict.SENT, "")}
    assert len(proxy.asked) > 1
    assert fleet.arrived(provider=provider)[provider]["repeats"] == 0


def _without_authority(fleet: Fleet, provider: str) -> tuple[Credential, Envelope]:
    """Return a credential that does not say whom to trust, as for the real providers, and three messages."""
    if provider == "fcm":
        account = fleet.make_project("trust")["service_account"]
        tokens = fleet.make_fcm_devices(3, project="trust")
        credential = Credential(
            "trust",
            1,
            {"service_account": account},
            base_url=fleet.fcm_url,
            token_url=fleet.oauth_url,
        )
    else:
        key = fleet.make_apns_key(topics=["com.example.trust"])
        tokens = fleet.make_apns_devices(3, topic="com.example.trust")
        secret = {name: key[name] for name in ("private_key", "key_id", "team_id")}
        credential = Credential("trust", 1, secret, {"topic": "com.example.trust"}, base_url=fleet.apns_url)
    messages = [
        Message(number, number, token, f"0190f3c2-0000-7000-8000-{number:012d}", 0)
        for number, token in enumerate(tokens)
    ]
    return credential, Envelope("r", "high", None, [Content(title="T", body="B")], messages)

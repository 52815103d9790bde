"""The fleet as a process: TLS, HTTP/2, the control API, its client, start and end."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlencode

import pycurl
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from py_vapid import Vapid
from pywebpush import WebPushException, webpush

from fleet.client import Fleet, FleetError
from fleet.points import base64url, point_of

ROOT = Path(__file__).resolve().parents[2]


def post(
    fleet: Fleet, url: str, body: bytes, headers: Sequence[str] = (), *, http2: bool = True
) -> tuple[int, bytes, str]:
    """Return status, body and HTTP version of one request over checked TLS."""
    answer = io.BytesIO()
    curl = pycurl.Curl()
    curl.setopt(pycurl.URL, url)
    curl.setopt(pycurl.CAINFO, fleet.ca_file)
    version = pycurl.CURL_HTTP_VERSION_2TLS if http2 else pycurl.CURL_HTTP_VERSION_1_1
    curl.setopt(pycurl.HTTP_VERSION, version)
    curl.setopt(pycurl.TIMEOUT_MS, 5000)
    curl.setopt(pycurl.POSTFIELDS, body)
    curl.setopt(pycurl.HTTPHEADER, list(headers))
    curl.setopt(pycurl.WRITEFUNCTION, answer.write)
    try:
        curl.perform()
        used = "2" if curl.getinfo(pycurl.INFO_HTTP_VERSION) == pycurl.CURL_HTTP_VERSION_2_0 else "1.1"
        return curl.getinfo(pycurl.RESPONSE_CODE), answer.getvalue(), used
    finally:
        curl.close()


def access_token(fleet: Fleet, account: dict[str, str]) -> str:
    now = int(time.time())
    claims = {
        "iss": account["client_email"],
        "scope": "https://www.googleapis.com/auth/firebase.messaging",
        "aud": account["token_uri"],
        "iat": now,
        "exp": now + 3600,
    }
    header = {"alg": "RS256", "kid": account["private_key_id"]}
    assertion = jwt.encode(header, claims, RSAKey.import_key(account["private_key"]), algorithms=["RS256"])
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
    status, body, _ = post(fleet, fleet.oauth_url, urlencode(form).encode())
    assert status == 200, body
    return str(json.loads(body)["access_token"])


def fcm_message(token: str, notification: str, run: str) -> bytes:
    message = {
        "token": token,
        "data": {"nh_id": notification, "nh_run": run},
        "notification": {"title": "Hello"},
        "android": {"notification": {"tag": notification}},
    }
    return json.dumps({"message": message}).encode()


@pytest.fixture(scope="session")
def project(fleet: Fleet) -> tuple[str, list[str]]:
    """Return the URL to send to and the headers to send with."""
    made = fleet.make_project("wire-app")
    bearer = access_token(fleet, made["service_account"])
    return f"{fleet.fcm_url}/v1/projects/wire-app/messages:send", [f"Authorization: Bearer {bearer}"]


@pytest.mark.parametrize(("http2", "version"), [(True, "2"), (False, "1.1")])
def test_fcm_delivers_over_both_versions_of_http(fleet, project, http2, version):
    url, headers = project
    (token,) = fleet.make_fcm_devices(1, project="wire-app")
    notification, run = str(uuid.uuid4()), str(uuid.uuid4())
    for _ in range(2):
        status, body, used = post(fleet, url, fcm_message(token, notification, run), headers, http2=http2)
        assert (status, used) == (200, version), body
    (one,) = fleet.arrived_for([token], run=run)[token]
    assert (one["notification"], one["times"], one["screen"]["replaced"]) == (notification, 2, 1)
    totals = fleet.arrived(run=run)
    assert (totals["fcm"]["accepted"], totals["total"]["repeats"], totals["apns"]["accepted"]) == (2, 1, 0)
    assert fleet.arrived(run=run, tokens=[token])["fcm"] == totals["fcm"]
    assert fleet.screen(token)["notices"] == [one]
    assert fleet.arrivals(run=run)["arrivals"] == [[token, notification, one["first_at"], 2]]


def test_apns_delivers_over_http2_and_tells_the_dead(fleet):
    key = fleet.make_apns_key(topics=["com.example.wire"])
    signing = ECKey.import_key(key["private_key"])
    claims = {"iss": key["team_id"], "iat": int(time.time())}
    provider_token = jwt.encode({"alg": "ES256", "kid": key["key_id"]}, claims, signing, algorithms=["ES256"])
    headers = [
        f"authorization: bearer {provider_token}",
        "apns-topic: com.example.wire",
        "apns-push-type: alert",
    ]
    alive, dead = fleet.make_apns_devices(2, topic="com.example.wire")
    fleet.set_faults("apns", dead_tokens=[dead], dead_since=1_700_000_000_000)
    payload = b'{"aps":{"alert":"hi"},"nh":{"id":"n-1","run":"wire-apns"}}'
    assert post(fleet, f"{fleet.apns_url}/3/device/{alive}", payload, headers) == (200, b"", "2")
    status, body, _ = post(fleet, f"{fleet.apns_url}/3/device/{dead}", payload, headers)
    assert (status, json.loads(body)) == (410, {"reason": "Unregistered", "timestamp": 1_700_000_000_000})
    assert fleet.screen(dead) == {"accepted": 0, "refused_dead": 1, "notices": []}
    fleet.clear_faults()
    assert post(fleet, f"{fleet.apns_url}/3/device/{dead}", payload, headers)[0] == 200


def test_a_stock_web_push_sender_reaches_the_browser_and_learns_of_the_dead(fleet):
    own, foreign = (
        Vapid(ec.generate_private_key(ec.SECP256R1())),
        Vapid(ec.generate_private_key(ec.SECP256R1())),
    )
    key = base64url(point_of(own.public_key))
    alive, dead = fleet.make_subscriptions(2, application_server_key=key)
    fleet.set_faults("webpush", dead_tokens=[dead["endpoint"]])
    session = requests.Session()
    session.trust_env, session.verify = False, fleet.ca_file

    def send(subscription: dict[str, object], signer: Vapid = own) -> int:
        text = json.dumps({"title": "Hello", "nh": {"id": "n-1", "run": "wire-webpush"}})
        claims = {"sub": "mailto:ops@example.com"}
        options = {
            "vapid_private_key": signer,
            "vapid_claims": claims,
            "requests_session": session,
            "ttl": 30,
        }
        try:
            return int(webpush(subscription, text, **options).status_code)
        except WebPushException as error:
            return int(error.response.status_code)

    with session:
        assert (send(alive), send(dead), send(alive, foreign)) == (201, 410, 403)
    fleet.clear_faults()
    (one,) = fleet.arrived_for([alive["endpoint"]], run="wire-webpush")[alive["endpoint"]]
    assert (one["notification"], one["times"], one["screen"]["title"]) == ("n-1", 1, "Hello")
    (letter,) = fleet.messages(alive["endpoint"])
    assert json.loads(letter["payload"])["title"] == "Hello"
    assert letter["asked"]["ttl"] == 30


def test_a_certificate_shown_in_the_handshake_sends(fleet, tmp_path):
    made = fleet.make_apns_certificate(topics=["com.example.certified"])
    (token,) = fleet.make_apns_devices(1, topic="com.example.certified")
    files = {"SSLCERT": tmp_path / "cert.pem", "SSLKEY": tmp_path / "key.pem"}
    files["SSLCERT"].write_text(made["certificate"])
    files["SSLKEY"].write_text(made["private_key"])
    statuses = []
    for shows in (True, False):
        curl = pycurl.Curl()
        curl.setopt(pycurl.URL, f"{fleet.apns_url}/3/device/{token}")
        curl.setopt(pycurl.CAINFO, fleet.ca_file)
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2TLS)
        for name, path in files.items() if shows else ():
            curl.setopt(getattr(pycurl, name), str(path))
        curl.setopt(pycurl.POSTFIELDS, '{"aps":{"alert":"hi"},"nh":{"id":"c-1","run":"certified"}}')
        curl.setopt(pycurl.HTTPHEADER, ["apns-push-type: alert"])
        curl.setopt(pycurl.WRITEFUNCTION, lambda data: None)
        curl.perform()
        statuses.append(curl.getinfo(pycurl.RESPONSE_CODE))
        curl.close()
    assert statuses == [200, 403]
    assert fleet.arrived(run="certified")["apns"]["accepted"] == 1


def test_a_whole_runs_instants_are_read_page_by_page(fleet, project, monkeypatch):
    url, headers = project
    tokens = fleet.make_fcm_devices(3, project="wire-app")
    run, ids = str(uuid.uuid4()), [str(uuid.uuid4()) for _ in range(3)]
    for token, notification in zip(tokens, ids, strict=True):
        assert post(fleet, url, fcm_message(token, notification, run), headers)[0] == 200
    instants = list(fleet.instants(run))
    assert [notification for notification, _ in instants] == ids
    counts = fleet.arrived(run=run)["total"]
    assert (instants[0][1], instants[-1][1]) == (counts["first_at"], counts["last_at"])
    assert fleet._ask("GET", f"/instants?run={run}&after=1&limit=1", None)[1].split()[0].decode() == ids[1]
    assert fleet.ages(run) == {"count": 0}


def test_a_message_is_kept_word_for_word_without_its_credentials(fleet, project):
    url, headers = project
    (token,) = fleet.make_fcm_devices(1, project="wire-app")
    message = fcm_message(token, str(uuid.uuid4()), "words")
    post(fleet, url, message, headers)
    (letter,) = fleet.messages(token)
    assert (letter["provider"], letter["token"], letter["payload"]) == ("fcm", token, message.decode())
    assert "authorization" not in letter["asked"] and letter in fleet.messages()


def test_apns_speaks_no_http_1(fleet):
    with pytest.raises(pycurl.error):
        post(fleet, f"{fleet.apns_url}/3/device/x", b"{}", http2=False)


def test_waiting_returns_when_the_message_arrives(fleet, project):
    url, headers = project
    (token,) = fleet.make_fcm_devices(1, project="wire-app")
    run = str(uuid.uuid4())
    with pytest.raises(FleetError, match="0 of 1"):
        fleet.wait(run=run, at_least=1, timeout=0.01)
    message = fcm_message(token, str(uuid.uuid4()), run)
    sender = threading.Thread(target=post, args=(fleet, url, message, headers))
    sender.start()
    assert fleet.wait(run=run, at_least=1, timeout=5) == 1
    sender.join()
    assert fleet.wait(token=token, at_least=1) == 1


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda fleet: fleet.make_fcm_devices(0, project="p"), "count"),
        (lambda fleet: fleet.make_fcm_devices(10**9, project="p"), "count"),
        (lambda fleet: fleet.make_apns_devices(1, topic=""), "topic"),
        (lambda fleet: fleet.make_apns_devices(1, topic="t", environment="moon"), "environment"),
        (lambda fleet: fleet.make_project("No Spaces"), "project"),
        (lambda fleet: fleet.make_apns_key(topics=[]), "topics"),
        (lambda fleet: fleet.screen("nobody"), "no device"),
        (lambda fleet: fleet.set_faults("fcm", colour="red"), "colour"),
        (lambda fleet: fleet.set_faults("fcm", dead_fraction=2), "dead_fraction|<= 1"),
        (lambda fleet: fleet.set_faults("fcm", answer={"reason": "Tired"}), "answer.reason"),
        (lambda fleet: fleet.arrived(provider="sms"), "provider"),
        (lambda fleet: fleet.set_faults("inbox", latency_ms=1), "provider"),
        (lambda fleet: fleet.set_faults("fcm", spoil={"how": "burnt"}), "burnt"),
        (lambda fleet: fleet.set_faults("apns", goaway={"after": 0}), "after|>= 1"),
        (lambda fleet: fleet.set_faults("apns", reset_streams={"code": "TIRED"}), "TIRED"),
        (lambda fleet: fleet.make_subscriptions(1, application_server_key="abc"), "application_server_key"),
        (lambda fleet: fleet.make_apns_certificate(topics=[]), "topics"),
        (lambda fleet: fleet.open_sockets("ws://x", [], manner="rude"), "rude"),
        (lambda fleet: fleet.start_pullers("ftp://x", []), "url"),
        (lambda fleet: fleet._call("GET", "/instants"), "run"),
        (lambda fleet: fleet._call("GET", "/arrivals?limit=-1"), "limit"),
        (lambda fleet: fleet._post("/nowhere"), "no call"),
    ],
)
def test_a_bad_call_says_what_is_wrong(fleet, call, text):
    with pytest.raises(FleetError, match=text):
        call(fleet)


def test_a_restart_on_the_same_folder_knows_its_devices_and_ports(tmp_path):
    with Fleet.start(tmp_path) as first:
        account = first.make_project("kept")["service_account"]
        (token,) = first.make_fcm_devices(1, project="kept")
        url = first.fcm_url
    with Fleet.start(tmp_path) as again:
        assert again.fcm_url == url
        bearer = access_token(again, account)
        message = fcm_message(token, str(uuid.uuid4()), "r")
        send = f"{url}/v1/projects/kept/messages:send"
        assert post(again, send, message, [f"Authorization: Bearer {bearer}"])[0] == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_within_two_seconds_even_with_answers_owed(tmp_path, number):
    fleet = Fleet.start(tmp_path)

    def wait_in_vain() -> None:
        with contextlib.suppress(FleetError):
            fleet.wait(at_least=1, timeout=60)

    waiting = threading.Thread(target=wait_in_vain)
    waiting.start()
    assert fleet._process is not None
    started = time.monotonic()
    os.kill(fleet.pid, number)
    assert fleet._process.wait(3) == 0
    assert time.monotonic() - started < 2
    waiting.join()
    assert not (tmp_path / "fleet.json").exists()


def test_a_folder_in_use_and_a_busy_port_are_said_clearly(fleet, tmp_path):
    def complaint(*arguments: str) -> str:
        command = [sys.executable, "-m", "fleet", *arguments]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=10, check=False)
        assert result.returncode == 1
        return result.stderr

    busy = fleet.fcm_url.rpartition(":")[2]
    assert "in use by another fleet" in complaint("--data", str(Path(fleet.ca_file).parent))
    assert f"port {busy} on 127.0.0.1 is taken" in complaint("--data", str(tmp_path), "--fcm-port", busy)


def test_secrets_are_readable_by_their_owner_only(fleet):
    fleet.make_project("secret-app")
    folder = Path(fleet.ca_file).parent
    for name in ("server.key", "world.json"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600


def _apns(fleet: Fleet) -> tuple[list[str], list[str]]:
    """Return the tokens of three phones and the headers to send with."""
    key = fleet.make_apns_key(topics=["com.example.doors"])
    claims = {"iss": key["team_id"], "iat": int(time.time())}
    header = {"alg": "ES256", "kid": key["key_id"]}
    bearer = jwt.encode(header, claims, ECKey.import_key(key["private_key"]), algorithms=["ES256"])
    headers = ["apns-topic: com.example.doors", "apns-push-type: alert", f"authorization: bearer {bearer}"]
    return fleet.make_apns_devices(3, topic="com.example.doors"), headers


@pytest.fixture
def own_fleet(tmp_path: Path):
    """A fleet that others do not use: its doors are shut in these tests."""
    with Fleet.start(tmp_path) as fleet:
        yield fleet


def test_a_provider_that_refuses_connections_is_refused_and_the_other_is_not(own_fleet):
    fleet = own_fleet
    (token, *_), headers = _apns(fleet)
    payload = b'{"aps":{"alert":"hi"}}'
    account = fleet.make_project("doors")["service_account"]
    bearer = access_token(fleet, account)
    (phone,) = fleet.make_fcm_devices(1, project="doors")
    fcm_url = f"{fleet.fcm_url}/v1/projects/doors/messages:send"
    message = fcm_message(phone, str(uuid.uuid4()), "doors")

    fleet.set_faults("apns", refuse_connections=True)
    with pytest.raises(pycurl.error) as refused:
        post(fleet, f"{fleet.apns_url}/3/device/{token}", payload, headers)
    assert refused.value.args[0] == pycurl.E_COULDNT_CONNECT
    assert post(fleet, fcm_url, message, [f"Authorization: Bearer {bearer}"])[0] == 200
    fleet.set_faults("apns", refuse_connections=False)
    assert post(fleet, f"{fleet.apns_url}/3/device/{token}", payload, headers)[0] == 200

    fleet.set_faults("fcm", refuse_connections=True)
    with pytest.raises(pycurl.error):
        post(fleet, fcm_url, message, [f"Authorization: Bearer {bearer}"])
    assert post(fleet, f"{fleet.apns_url}/3/device/{token}", payload, headers)[0] == 200
    fleet.clear_faults()
    assert post(fleet, fcm_url, message, [f"Authorization: Bearer {bearer}"])[0] == 200


def test_connections_are_cut_at_the_send_that_was_chosen(own_fleet):
    fleet = own_fleet
    tokens, headers = _apns(fleet)
    payload = b'{"aps":{"alert":"hi"},"nh":{"id":"n","run":"cut"}}'
    fleet.set_faults("apns", cut_after=2)
    assert post(fleet, f"{fleet.apns_url}/3/device/{tokens[0]}", payload, headers)[0] == 200
    with pytest.raises(pycurl.error) as cut:
        post(fleet, f"{fleet.apns_url}/3/device/{tokens[1]}", payload, headers)
    assert cut.value.args[0] != pycurl.E_OPERATION_TIMEDOUT
    assert post(fleet, f"{fleet.apns_url}/3/device/{tokens[2]}", payload, headers)[0] == 200
    assert fleet.arrived(run="cut")["apns"]["accepted"] == 3, "what arrived before the cut stays arrived"

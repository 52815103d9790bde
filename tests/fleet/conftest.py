"""A fleet in this process for rules, one in its own process for what goes over the wire."""

from __future__ import annotations

import hashlib
import ssl
import time
import uuid
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from pywebpush import WebPusher

from fleet.apns_certificates import ApnsCertificate, make_apns_certificate
from fleet.apns_keys import ApnsKey, make_apns_key
from fleet.client import Fleet
from fleet.devices import Environment
from fleet.http import Reply, Request
from fleet.oauth import ServiceAccount, make_service_account
from fleet.points import base64url, point_of
from fleet.server import FleetServer, Options
from fleet.subscriptions import Subscription

TOPIC = "com.example.app"
PROJECT = "shop-1"
_HELLO = {"aps": {"alert": {"title": "Hello", "body": "World"}}}
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@cache
def _signing_key(account: ServiceAccount) -> RSAKey:
    return RSAKey.import_key(account.private_key)


class FcmDesk:
    """Sends to FCM as project shop-1; every part can be bent."""

    def __init__(self, server: FleetServer, account: ServiceAccount) -> None:
        self.server = server
        self.account = account
        self.tokens = server.world.devices.make("fcm", count=20, home=PROJECT)
        self.bearer = "Bearer " + self.access_token()["access_token"]

    def assertion(self, *, key: RSAKey | None = None, **claims: Any) -> str:
        now = int(time.time())
        usual = {
            "iss": self.account.email,
            "scope": "https://www.googleapis.com/auth/firebase.messaging",
            "aud": self.server.oauth.url,
            "iat": now,
            "exp": now + 3600,
        }
        header = {"alg": "RS256", "kid": self.account.key_id}
        return jwt.encode(header, usual | claims, key or _signing_key(self.account), algorithms=["RS256"])

    def exchange(self, assertion: str, *, grant_type: str = JWT_BEARER) -> Reply:
        form = urlencode({"grant_type": grant_type, "assertion": assertion}).encode()
        return self.server.fcm.handle(Request("POST", "/token", "", {}, form))

    def access_token(self) -> dict[str, Any]:
        answer: dict[str, Any] = msgspec.json.decode(self.exchange(self.assertion()).body)
        return answer

    def post(self, body: bytes, *, project: str = PROJECT, bearer: str | None = "") -> Reply:
        headers = {} if bearer is None else {"authorization": bearer or self.bearer}
        return self.server.fcm.handle(
            Request("POST", f"/v1/projects/{project}/messages:send", "", headers, body)
        )

    def send(self, *, validate_only: bool = False, **message: Any) -> Reply:
        if not {"token", "topic", "condition"} & set(message):
            message["token"] = self.tokens[0]
        request: dict[str, Any] = {"message": message}
        if validate_only:
            request["validate_only"] = True
        return self.post(msgspec.json.encode(request))

    def notify(
        self,
        token: str,
        *,
        id: str | None = None,
        run: str = "run-1",
        tag: str | None = None,
        title: str = "Hello",
    ) -> Reply:
        data = {"nh_run": run} | ({"nh_id": id} if id else {})
        android: dict[str, Any] = {"notification": {"tag": tag}} if tag else {}
        notice = {"title": title, "body": "World"}
        return self.send(token=token, data=data, notification=notice, android=android)


class ApnsDesk:
    """Sends to APNs for com.example.app; every part can be bent."""

    def __init__(self, server: FleetServer, key: ApnsKey) -> None:
        self.server = server
        self.key = key
        self.tokens = server.world.devices.make("apns", count=20, home=TOPIC)
        self.jwt = self.provider_token()

    def provider_token(self, *, kid: str | None = None, key: ECKey | None = None, **claims: Any) -> str:
        header = {"alg": "ES256", "kid": kid or self.key.key_id}
        usual = {"iss": self.key.team_id, "iat": int(time.time())}
        return jwt.encode(
            header, usual | claims, key or ECKey.import_key(self.key.private_key), algorithms=["ES256"]
        )

    def headers(self, **bent: str | None) -> dict[str, str]:
        """Return headers of an alert; `apns_priority="5"` sets one, None leaves one out."""
        usual: dict[str, str | None] = {
            "authorization": f"bearer {self.jwt}",
            "apns-topic": TOPIC,
            "apns-push-type": "alert",
        }
        usual |= {name.replace("_", "-"): value for name, value in bent.items()}
        return {name: value for name, value in usual.items() if value is not None}

    def send(
        self,
        token: str | None = None,
        *,
        payload: Any = None,
        body: bytes | None = None,
        method: str = "POST",
        path: str | None = None,
        sandbox: bool = False,
        **headers: str | None,
    ) -> Reply:
        endpoint = self.server.apns_sandbox if sandbox else self.server.apns
        if body is None:
            body = msgspec.json.encode(payload or _HELLO)
        where = path or f"/3/device/{token or self.tokens[0]}"
        return endpoint.handle(Request(method, where, "", self.headers(**headers), body))

    def request(self, *, repeated: tuple[str, ...] = (), peer: str = "", **headers: str | None) -> Request:
        """Return a request as the server makes it; `peer` is the digest of a certificate."""
        where, body = f"/3/device/{self.tokens[0]}", msgspec.json.encode(_HELLO)
        return Request("POST", where, "", self.headers(**headers), body, repeated, peer)

    def certificate(self, *, environment: Environment | None = None) -> tuple[ApnsCertificate, str]:
        """Make a certificate that may connect; return it and its digest."""
        made = make_apns_certificate([TOPIC], environment=environment)
        self.server.certificates.enrol(made)
        return made, hashlib.sha256(ssl.PEM_cert_to_DER_cert(made.certificate)).hexdigest()

    def notify(
        self, token: str, *, id: str, run: str = "run-1", title: str = "Hello", **headers: str
    ) -> Reply:
        aps = {"alert": {"title": title, "body": "World"}}
        return self.send(token, payload={"aps": aps, "nh": {"id": id, "run": run}}, **headers)


ORIGIN = "https://push.test"


class WebPushDesk:
    """Sends to a push service as the owner of a VAPID key; every part can be bent."""

    def __init__(self, server: FleetServer) -> None:
        self.server = server
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.point = point_of(self.key.public_key())
        self.subscriptions = server.webpush.subscribe(5, application_server_key=base64url(self.point))

    def token(self, *, key: ec.EllipticCurvePrivateKey | None = None, **claims: Any) -> str:
        usual = {"aud": ORIGIN, "exp": int(time.time()) + 3600, "sub": "mailto:ops@example.com"}
        held = {name: value for name, value in (usual | claims).items() if value is not None}
        return jwt.encode({"alg": "ES256"}, held, ECKey.import_key(key or self.key), algorithms=["ES256"])

    def authorization(self, *, key: ec.EllipticCurvePrivateKey | None = None, **claims: Any) -> str:
        point = point_of((key or self.key).public_key())
        return f"vapid t={self.token(key=key, **claims)}, k={base64url(point)}"

    def encrypt(self, data: bytes, subscription: Subscription | None = None) -> bytes:
        document = (subscription or self.subscriptions[0]).document()
        encoded = WebPusher(document).encode(data, content_encoding="aes128gcm")
        assert encoded is not None
        return bytes(encoded["body"])

    def headers(self, **bent: str | None) -> dict[str, str]:
        """Return headers of a message; `content_encoding=None` leaves one out."""
        usual: dict[str, str | None] = {
            "authorization": self.authorization(),
            "ttl": "60",
            "content-encoding": "aes128gcm",
        }
        usual |= {name.replace("_", "-"): value for name, value in bent.items()}
        return {name: value for name, value in usual.items() if value is not None}

    def send(
        self,
        payload: Any = "hello",
        *,
        to: Subscription | None = None,
        body: bytes | None = None,
        method: str = "POST",
        path: str | None = None,
        **headers: str | None,
    ) -> Reply:
        target = to or self.subscriptions[0]
        if body is None:
            body = self.encrypt(msgspec.json.encode(payload), target)
        where = path or target.endpoint.removeprefix(ORIGIN)
        return self.server.webpush.handle(Request(method, where, "", self.headers(**headers), body))


@pytest.fixture(scope="session")
def account() -> ServiceAccount:
    return make_service_account(PROJECT)


@pytest.fixture
def server(tmp_path: Path, account: ServiceAccount) -> FleetServer:
    """A fleet whose endpoints are called directly; it listens nowhere."""
    server = FleetServer(Options(data=tmp_path))
    server.oauth.url = "https://127.0.0.1:1/token"
    server.webpush.url = ORIGIN
    server.webpush.vapid.origins = frozenset({ORIGIN})
    server.world.accounts[account.project] = account
    server.oauth.enrol(account)
    return server


@pytest.fixture
def fcm(server: FleetServer, account: ServiceAccount) -> FcmDesk:
    return FcmDesk(server, account)


@pytest.fixture
def apns(server: FleetServer) -> ApnsDesk:
    key = make_apns_key([TOPIC], team=None, environment=None)
    server.keys.enrol(key)
    return ApnsDesk(server, key)


@pytest.fixture
def webpush(server: FleetServer) -> WebPushDesk:
    return WebPushDesk(server)


@pytest.fixture
def new_id() -> str:
    return str(uuid.uuid4())


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A fleet in its own process, shared by all tests: look only at devices of your own."""
    with Fleet.start(tmp_path_factory.mktemp("fleet")) as fleet:
        yield fleet

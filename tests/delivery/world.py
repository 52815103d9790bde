"""A small world for tests of delivery: an application, its people and a run over them."""

from typing import Any
from uuid import UUID

from delivery import runs
from delivery.models import Run
from delivery.senders.contract import NOT_STARTED, Credential, Envelope, GoOn, Result, Verdict
from delivery.snapshot import Snapshot, Text
from devices.models import Application, Device, Subscriber


def application(slug: str = "shop") -> Application:
    return Application.objects.create(name=slug.title(), slug=slug)


def subscriber(app: Application, external_id: str, **values: Any) -> Subscriber:
    return Subscriber.objects.create(application=app, external_id=external_id, **values)


def device(owner: Subscriber, provider: str = "fcm", **values: Any) -> Device:
    platform = {"fcm": "android", "apns": "ios", "socket": "web"}[provider]
    token = values.pop("token", "" if provider == "socket" else f"token-{owner.external_id}-{provider}")
    return Device.objects.create(
        application=owner.application,
        subscriber=owner,
        provider=provider,
        **{"platform": platform, "token": token, "token_digest": token, **values},
    )


def people(app: Application, count: int, providers: str = "fcm apns socket") -> list[Subscriber]:
    """Make subscribers with one device each, of the providers in turn."""
    cycle = providers.split()
    made = [
        subscriber(app, f"s{number}", attributes={"first_name": f"Ada{number}"}) for number in range(count)
    ]
    for number, owner in enumerate(made):
        device(owner, cycle[number % len(cycle)])
    return made


def snapshot(**values: Any) -> Snapshot:
    texts = {"en": Text(title="Hi {{ first_name }}", body="News for you", link="https://example.com/")}
    return Snapshot(**{"texts": texts, **values})


def launch(app: Application, **values: Any) -> Run:
    fields = {"origin": "test", "title": "Test", "lane": "normal", "snapshot": snapshot()}
    return runs.launch(application=app, **{**fields, **values})


class FakeSender:
    """A sender whose provider answers as told: by token, else SENT. Keeps every envelope it was given."""

    provider = "fake"

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.answers: dict[str, dict[str, Any]] = {}
        self.default: dict[str, Any] = {"verdict": Verdict.SENT}
        self.streams: list[int | None] = []

    def send(
        self,
        envelope: Envelope,
        credential: Credential,
        *,
        deadline: float | None = None,
        streams: int | None = None,
        go_on: GoOn | None = None,
    ) -> Any:
        self.envelopes.append(envelope)
        self.streams.append(streams)
        for index, message in enumerate(envelope.messages):
            if go_on is not None and not go_on():
                yield Result(index=index, verdict=Verdict.RETRY, reason=NOT_STARTED)
                continue
            yield Result(index=index, **self.answers.get(message.token, self.default))

    def check(self, credential: Credential) -> None:
        return None

    @property
    def sent(self) -> list[tuple[str, UUID]]:
        return [(m.token, UUID(m.notification)) for envelope in self.envelopes for m in envelope.messages]

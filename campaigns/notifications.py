"""Transactional sends: one thing told to named subscribers at once, past events and rules."""

from typing import Annotated, Any
from uuid import UUID, uuid4

import msgspec
from django.db import transaction
from django.utils import timezone

from campaigns import idempotency
from campaigns.canonical import UnstorableError, canonical
from campaigns.content import BASE, ContentError, build
from campaigns.launching import IN_FORCE, origin
from campaigns.models import Campaign
from delivery import rendering, runs, weighing
from delivery.lanes import LANES
from delivery.models import Credential
from delivery.positions import notification_id
from delivery.snapshot import Named, Policy, Snapshot, from_json
from devices.models import ApiKey, Application, Category, Subscriber
from devices.problem_values import Problem

RECIPIENTS_LIMIT = 1_000
VARIABLES_LIMIT = 16 * 1024
"""Bytes of a request's variables, in canonical JSON."""
TTL = 86_400
TTL_LIMIT = 28 * 86_400
"""Seconds; four weeks is the most that FCM keeps a message."""

OVERRIDE = "campaigns:override"
"""The scope of keys that may override preferences and quiet hours."""
CONTENT = (*BASE, "locales", "overrides")
"""The fields with which a request says by itself what is told."""

ExternalId = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class Request(msgspec.Struct, forbid_unknown_fields=True):
    """The document of a transactional send: either `campaign` says what is told, or `CONTENT` by themselves."""

    to: ExternalId | Annotated[list[ExternalId], msgspec.Meta(min_length=1, max_length=RECIPIENTS_LIMIT)]
    campaign: UUID | None = None
    title: str = ""
    body: str = ""
    subtitle: str = ""
    link: str = ""
    image: str = ""
    sound: str = ""
    badge: str | int = ""
    data: dict[str, Any] = {}
    android: dict[str, Any] = {}
    ios: dict[str, Any] = {}
    web: dict[str, Any] = {}
    locales: dict[str, Any] = {}
    overrides: dict[str, Any] = {}
    variables: dict[str, Any] = {}
    lane: str = "high"
    category: str = ""
    override: bool = False
    ttl: Annotated[int, msgspec.Meta(ge=1, le=TTL_LIMIT)] | None = None


class SendError(Exception):
    """A send that is refused, with the problem to answer; nobody was told anything."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(problem.detail)


class _Told(msgspec.Struct, frozen=True):
    """What is to be told, and under which name."""

    snapshot: Snapshot
    origin: str
    title: str
    category: Category | None


def send(application: Application, key: ApiKey, document: Any, idempotency_key: str = "") -> dict[str, Any]:
    """Tell the subscribers in `document` and return `{"run": uid, "notifications": [{"to", "id"}]}`.

    When this returns, the send is stored. The same `idempotency_key` with the same document gives
    the first answer again and tells nobody twice. Raises `SendError`, and then nothing was sent.
    """
    if not idempotency_key:
        return _send(application, key, document, uuid4())
    try:
        body = canonical(document)
    except UnstorableError as error:
        raise _refused(400, "request-invalid", "The request is not valid", f"{error}.") from None
    try:
        claim = idempotency.claim(application, idempotency_key, body)
    except idempotency.ReuseError as error:
        raise SendError(error.problem) from None
    if claim.answer is not None:
        return claim.answer
    try:
        with transaction.atomic():
            answer = _send(application, key, document, claim.uid)
            idempotency.keep(claim, answer)
    except BaseException:
        # nothing was sent: the key is free again for a corrected request
        idempotency.release(claim)
        raise
    return answer


def _send(application: Application, key: ApiKey, document: Any, uid: UUID) -> dict[str, Any]:
    request = _read(document)
    if request.lane not in key.lanes:
        granted = ", ".join(lane for lane in LANES if lane in key.lanes) or "no lane"
        detail = f"The lane “{request.lane}” is not granted to this API key; it has {granted}."
        raise _refused(403, "lane", "The lane is not granted", detail, "/lane")
    if request.override and OVERRIDE not in key.scopes:
        detail = f"To override preferences and quiet hours the API key needs the scope {OVERRIDE}."
        raise _refused(403, "scope", "The scope is not granted", detail, "/override")
    if request.campaign is not None:
        told = _from_campaign(application, request, request.campaign)
    else:
        told = _from_content(application, request, uid)
    people = _people(application, request)
    run = runs.launch(
        application=application,
        origin=told.origin,
        title=told.title,
        lane=request.lane,
        snapshot=told.snapshot,
        category=told.category,
        people=[Named(subscriber) for _, _, subscriber in people],
        expires_at=runs.ends_at(application, told.snapshot, timezone.now()),
        uid=uid,
    )
    return {
        "run": str(run.uid),
        "notifications": [
            {"to": name, "id": str(notification_id(run.uid, person))} for name, person, _ in people
        ],
    }


def _read(document: Any) -> Request:
    try:
        request = msgspec.convert(document, Request)
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at `")
        pointer = place.rstrip("`").removeprefix("$").replace("[", "/").replace("]", "").replace(".", "/")
        raise _refused(400, "request-invalid", "The request is not valid", f"{reason}.", pointer) from None
    if request.lane not in LANES:
        detail = f"There is no lane “{request.lane}”; there are {', '.join(LANES)}."
        raise _refused(400, "request-invalid", "The request is not valid", detail, "/lane")
    if (request.campaign is None) == (not any(getattr(request, name) for name in CONTENT)):
        detail = (
            "Say what to tell: send either “campaign” (an id) or “title”, “body” and so on, and not both."
        )
        raise _refused(400, "request-invalid", "The request is not valid", detail)
    try:
        size = len(canonical(request.variables))
    except UnstorableError as error:
        raise _refused(
            400, "request-invalid", "The request is not valid", f"{error}.", "/variables"
        ) from None
    if size > VARIABLES_LIMIT:
        detail = f"The variables have {size:,} bytes; {VARIABLES_LIMIT:,} are the most."
        raise _refused(413, "variables-too-large", "The variables are too large", detail, "/variables")
    return request


def _from_campaign(application: Application, request: Request, uid: UUID) -> _Told:
    campaign = Campaign.objects.filter(application=application, uid=uid).select_related("category").first()
    if campaign is None:
        detail = f"This application has no campaign {uid}."
        raise _refused(404, "campaign-unknown", "There is no such campaign", detail, "/campaign")
    version = campaign.versions.first() if campaign.state in IN_FORCE else None
    if version is None:
        detail = f"“{campaign.name}” is {campaign.get_state_display().lower()}; approve or launch it first."
        raise _refused(409, "campaign-not-live", "The campaign is not live", detail, "/campaign")
    snapshot = from_json(version.snapshot)
    snapshot = msgspec.structs.replace(
        snapshot, variables=request.variables, predicate=None, ttl=request.ttl or snapshot.ttl
    )
    category = _category(application, request) or campaign.category
    if _overrides(request, category):
        policy = msgspec.structs.replace(snapshot.policy, override=True)
        snapshot = msgspec.structs.replace(snapshot, policy=policy)
    return _Told(snapshot, origin(version), campaign.name, category)


def _from_content(application: Application, request: Request, uid: UUID) -> _Told:
    base = {name: getattr(request, name) for name in BASE}
    try:
        texts = build(base, locale=application.locale, locales=request.locales, overrides=request.overrides)
    except ContentError as error:
        pointer = "/" + error.field.replace(".", "/")
        raise _refused(400, "content", "The content cannot be used", f"{error}.", pointer) from None
    category = _category(application, request)
    snapshot = Snapshot(
        texts=texts.texts,
        locale=application.locale,
        overrides=texts.overrides,
        category=category.key if category else "",
        ttl=request.ttl or TTL,
        variables=request.variables,
        policy=Policy(transactional=True, override=_overrides(request, category)),
    )
    for problem in rendering.check(snapshot):
        field = problem.field.removeprefix(f"texts.{snapshot.locale}.").replace("texts.", "locales.")
        detail = f"{field}, line {problem.line}: {problem.reason}."
        pointer = "/" + field.replace(".", "/")
        raise _refused(400, "content", "The content cannot be used", detail, pointer)
    stored = Credential.objects.filter(application=application).values_list("provider", flat=True)
    if found := weighing.too_large(snapshot, stored):
        pointer = "/" + found.field.replace(".", "/")
        raise _refused(
            400, "content", "The content cannot be used", f"{found.field}: {found.reason}.", pointer
        )
    return _Told(snapshot, f"notification:{uid}", request.title or request.body, category)


def _overrides(request: Request, category: Category | None) -> bool:
    """Return whether the send overrides preferences and quiet hours, as a lane and a category allow it."""
    if request.override and request.lane != "critical":
        detail = "Only a notification in the lane critical may override; leave “override” out."
        raise _refused(400, "request-invalid", "The request is not valid", detail, "/override")
    if request.override and not (category and category.critical_overrides):
        detail = "Name a category that allows critical notifications to override preferences."
        raise _refused(400, "request-invalid", "The request is not valid", detail, "/override")
    return request.override


def _category(application: Application, request: Request) -> Category | None:
    if not request.category:
        return None
    found = Category.objects.filter(application=application, key=request.category).first()
    if found is None:
        known = ", ".join(
            Category.objects.filter(application=application).order_by("key").values_list("key", flat=True)
        )
        detail = f"There is no category “{request.category}”; there are {known or 'none yet'}."
        raise _refused(400, "category-unknown", "There is no such category", detail, "/category")
    return found


def _people(application: Application, request: Request) -> list[tuple[str, UUID, int]]:
    """Return the external id, uid and primary key of each recipient once; all of them are known."""
    names = list(dict.fromkeys([request.to] if isinstance(request.to, str) else request.to))
    rows = Subscriber.objects.filter(application=application, external_id__in=names)
    known = {name: (uid, key) for name, uid, key in rows.values_list("external_id", "uid", "pk")}
    unknown = [name for name in names if name not in known]
    if unknown:
        listed = ", ".join(f"“{name}”" for name in unknown[:20])
        more = f" and {len(unknown) - 20} more" if len(unknown) > 20 else ""
        detail = f"These are no subscribers of this application: {listed}{more}. Nothing was sent to anybody."
        raise _refused(404, "subscriber-unknown", "There is no such subscriber", detail, "/to")
    return [(name, *known[name]) for name in names]


def _refused(status: int, code: str, title: str, detail: str, pointer: str = "") -> SendError:
    return SendError(Problem(status, code, title, detail, pointer))

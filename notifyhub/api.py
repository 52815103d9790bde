"""Every address of the API under `/api/v1/`."""

from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.urls import Resolver404, include, path, re_path, resolve
from django.views.decorators.csrf import csrf_exempt
from drf_spectacular.views import SpectacularAPIView
from rest_framework.exceptions import NotFound
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.routers import SimpleRouter
from rest_framework.views import APIView

from campaigns.api.campaigns import CampaignViewSet
from campaigns.api.events import EventView
from campaigns.api.experiments import ExperimentView
from campaigns.api.notifications import NotificationView
from campaigns.api.rules import EventTypeViewSet, RuleViewSet, ScheduleViewSet
from campaigns.api.why import WhyView
from delivery.api.credentials import CredentialViewSet, WebPushKeyView
from delivery.api.device_messages import DeviceMessageView
from delivery.api.holds import HoldView
from delivery.api.inbox import InboxView, LatestView, MarksView, ReceiptsView
from delivery.api.presence import PresenceView
from delivery.api.runs import RunViewSet
from delivery.api.tickets import TicketView
from devices import openapi  # noqa: F401  (how the schema describes authentication)
from devices.api.devices import DeviceViewSet
from devices.api.preference_links import PreferenceLinkView
from devices.api.preferences import PreferencesView
from devices.api.segments import CategoryViewSet, SegmentViewSet
from devices.api.subscribers import SubscriberViewSet
from devices.api.tokens import TokenView

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
for prefix, viewset in {
    "campaigns": CampaignViewSet,
    "runs": RunViewSet,
    "rules": RuleViewSet,
    "event-types": EventTypeViewSet,
    "schedules": ScheduleViewSet,
    "subscribers": SubscriberViewSet,
    "devices": DeviceViewSet,
    "segments": SegmentViewSet,
    "categories": CategoryViewSet,
    "credentials": CredentialViewSet,
}.items():
    router.register(prefix, viewset, basename=prefix)


class NothingHere(APIView):
    """What answers where there is no address, so that this error is a problem too."""

    authentication_classes = []
    permission_classes = [AllowAny]
    schema = None

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise NotFound(
            "There is no such address; /api/v1/schema/ lists them all. Ids in addresses are UUIDs, "
            "but for subscribers, who have the service's own."
        )


_nothing = NothingHere.as_view()


@csrf_exempt
def elsewhere(request: HttpRequest, rest: str) -> HttpResponseBase:
    """Serve an address with a slash too many as the address without; what is then not known is a 404 problem."""
    if rest.endswith("/"):
        try:
            found = resolve(request.path_info.rstrip("/"))
        except Resolver404:
            return _nothing(request)
        if found.func is not elsewhere:
            answer: HttpResponseBase = found.func(request, *found.args, **found.kwargs)
            return answer
    return _nothing(request)


urlpatterns = [
    path("events", EventView.as_view(), name="events"),
    path("notifications", NotificationView.as_view(), name="notifications"),
    path("tokens", TokenView.as_view(), name="tokens"),
    path("tickets", TicketView.as_view(), name="tickets"),
    path("holds", HoldView.as_view(), name="holds"),
    path("inbox", InboxView.as_view(), name="inbox"),
    path("inbox/latest", LatestView.as_view(), name="inbox-latest"),
    path("inbox/marks", MarksView.as_view(), name="inbox-marks"),
    path("device-messages", DeviceMessageView.as_view(), name="device-messages"),
    path("presence", PresenceView.as_view(), name="presence"),
    path("preferences", PreferencesView.as_view(), name="preferences"),
    path("receipts", ReceiptsView.as_view(), name="receipts"),
    path("web-push-key", WebPushKeyView.as_view(), name="web-push-key"),
    path(
        "subscribers/<str:external_id>/preference-link",
        PreferenceLinkView.as_view(),
        name="preference-link",
    ),
    path("why", WhyView.as_view(), name="why"),
    path("campaigns/<uuid:uid>/experiment", ExperimentView.as_view(), name="campaigns-experiment"),
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
    path("", include(router.urls)),
    re_path(r"^(?P<rest>.*)$", elsewhere, name="api-nothing"),
]

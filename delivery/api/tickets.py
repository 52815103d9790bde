"""`/tickets`: single-use tickets for devices that cannot show their subscriber token when they open a WebSocket."""

from typing import Any

from drf_spectacular.utils import extend_schema
from redis.exceptions import RedisError
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from delivery.node import tickets
from devices.authentication import SubscriberTokenAuthentication
from devices.isolation import Scoped
from devices.problems import refuse


class TicketSerializer(serializers.Serializer[Any]):
    """A ticket: `wss://…/ws/v1/?ticket=<ticket>`, once, within `expires_in` seconds."""

    ticket = serializers.CharField()
    expires_in = serializers.IntegerField()


class TicketView(Scoped):
    """Make tickets."""

    authentication_classes = [SubscriberTokenAuthentication]
    required_scope = ""

    @extend_schema(operation_id="tickets_make", request=None, responses={201: TicketSerializer})
    def post(self, request: Request) -> Response:
        """Make a ticket that stands for the token of this request, once."""
        token = request.META["HTTP_AUTHORIZATION"].partition(" ")[2].strip()
        try:
            ticket = tickets.issue(token)
        except RedisError:
            raise refuse(
                503,
                "tickets-away",
                "No tickets for the moment",
                "Redis, which keeps them, does not answer; try again, or send the token in an auth frame.",
            ) from None
        return Response({"ticket": ticket, "expires_in": tickets.SECONDS}, status=201)

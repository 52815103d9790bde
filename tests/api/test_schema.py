"""The schema of the API is whole and generated without a warning."""

import re
from typing import Any
from uuid import uuid4

import pytest
from django.urls import resolve
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from rest_framework.mixins import ListModelMixin
from rest_framework.viewsets import ViewSetMixin

from devices.isolation import Scoped
from tests.api_world import Caller


@pytest.fixture(scope="module")
def schema() -> Any:
    return SchemaGenerator(urlconf="notifyhub.urls").get_schema(request=None, public=True)


def test_the_schema_generates_without_a_warning(schema: Any) -> None:
    assert not GENERATOR_STATS
    assert schema["openapi"].startswith("3.1")


def test_the_schema_names_every_address(schema: Any) -> None:
    first = {path.removeprefix("/api/v1/").partition("/")[0] for path in schema["paths"]}
    assert first == {
        "campaigns", "categories", "credentials", "device-messages", "devices", "event-types", "events", "holds",
        "inbox", "notifications", "preferences", "presence", "receipts", "rules", "runs", "schedules", "segments",
        "subscribers", "tickets", "tokens", "web-push-key", "why",
    }  # fmt: skip


def test_every_parameter_of_the_schema_is_taken_and_no_other(schema: Any) -> None:
    for path, ways in schema["paths"].items():
        view = resolve(re.sub(r"\{[^}]+\}", str(uuid4()), path)).func.cls
        if not issubclass(view, Scoped):
            continue
        shown = {
            parameter["name"]
            for way in ways.values()
            for parameter in way.get("parameters", [])
            if parameter["in"] == "query"
        }
        lists = {"after", "limit"} if issubclass(view, ListModelMixin) else set()
        assert shown <= {*view.parameters, *lists}, path
        if not issubclass(view, ViewSetMixin):
            assert shown == set(view.parameters), path


def test_no_answer_of_the_schema_has_a_token_of_a_device(schema: Any) -> None:
    assert schema["components"]["schemas"]["Device"]["properties"]["token"]["writeOnly"] is True


@pytest.mark.django_db
def test_everybody_may_read_the_schema() -> None:
    answer = Caller()("GET", "schema/")
    assert answer.status_code == 200 and b"/api/v1/events" in answer.content

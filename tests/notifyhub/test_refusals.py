"""What Django refuses by itself is told to programs as problem details, and says what to do."""

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db


def told(answer, status):
    assert answer.status_code == status
    assert answer["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status and problem["type"].startswith("/problems/")
    return problem["detail"]


def test_an_address_beside_the_api_is_a_problem(client):
    for path in ("/api/v2/events", "/api/", "/ws/v2/"):
        assert "/api/v1/schema/" in told(client.get(path), 404)


def test_a_page_that_is_not_there_stays_a_page(client):
    assert client.get("/nothing").status_code == 404
    assert client.get("/nothing")["Content-Type"].startswith("text/html")


def test_a_host_that_is_not_known_is_told_which_setting_names_it(client):
    assert "ALLOWED_HOSTS" in told(client.get("/api/v1/events", headers={"host": "hub.example"}), 400)
    page = client.get("/-/health/live", headers={"host": "hub.example"})
    assert (page.status_code, page["Content-Type"]) == (400, "text/plain")
    assert "ALLOWED_HOSTS" in page.content.decode()


def test_a_proxy_that_keeps_the_upgrade_to_itself_is_told(client):
    answer = client.get("/ws/v1/")
    assert "Upgrade and Connection" in told(answer, 426)
    assert answer["Upgrade"] == "websocket"


def test_a_failure_beside_the_views_is_a_problem_too(monkeypatch):
    def fail(*_):
        raise RuntimeError("secret")

    monkeypatch.setattr("notifyhub.api.elsewhere", fail)
    monkeypatch.setattr("notifyhub.api._nothing", fail)
    answer = Client(raise_request_exception=False).get("/api/v1/nothing")
    assert "secret" not in told(answer, 500)

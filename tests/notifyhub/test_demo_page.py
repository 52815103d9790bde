import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from devices import tokens
from devices.models import Application, Device, Subscriber
from notifyhub import demo_page

pytestmark = pytest.mark.django_db


@pytest.fixture
def viewer():
    application = Application.objects.create(name="Demo", slug="demo")
    return Subscriber.objects.create(application=application, external_id="you")


def test_the_page_names_the_socket_and_where_tokens_come_from(client, viewer):
    path = demo_page.page_path(viewer)
    text = client.get(path).content.decode()
    assert 'data-socket-path="/ws/v1/"' in text
    assert f'data-token-url="{path}token"' in text


def test_a_token_speaks_for_the_viewers_browser(client, viewer):
    answer = client.post(demo_page.page_path(viewer) + "token")
    identity = tokens.verify(answer.json()["token"])
    assert identity.external_id == "you"
    assert Device.objects.get(uid=identity.device_uid).platform == "web"


def test_the_page_keeps_one_device_however_often_it_asks(client, viewer):
    for _ in range(3):
        client.post(demo_page.page_path(viewer) + "token")
    assert Device.objects.filter(subscriber=viewer).count() == 1


def test_a_token_is_not_given_to_another_sites_form(viewer):
    strict = Client(enforce_csrf_checks=True)
    assert strict.post(demo_page.page_path(viewer) + "token").status_code == 403


def test_a_guessed_key_or_one_of_another_subscriber_opens_nothing(client, viewer):
    other = Subscriber.objects.create(application=viewer.application, external_id="other")
    key = demo_page.page_path(other).split("/")[-2]
    assert client.get("/demo/you/guess/").status_code == 404
    assert client.get(f"/demo/you/{key}/").status_code == 404


def test_only_the_demo_application_has_such_pages(client):
    application = Application.objects.create(name="Shop", slug="shop")
    subscriber = Subscriber.objects.create(application=application, external_id="you")
    assert client.get(demo_page.page_path(subscriber)).status_code == 404


def test_staff_is_sent_on_to_the_page_and_others_to_the_sign_in(client, viewer):
    assert "/admin/login/" in client.get("/demo/you/").url
    client.force_login(get_user_model().objects.create_superuser("root"))
    assert client.get("/demo/you/").url == demo_page.page_path(viewer)

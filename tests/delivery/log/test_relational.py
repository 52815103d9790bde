"""The relational log keeps the contract."""

import time
import uuid

import pytest
from django.conf import settings

from delivery import positions
from delivery.log.relational import RelationalLogStore
from delivery.log.store import LogStore
from delivery.models import Entry
from tests.delivery.log.contract import NOW, LogStoreContract, entry
from tests.delivery.log.writing import append

pytestmark = pytest.mark.django_db(databases=["default", "log"])


class TestRelationalLogStore(LogStoreContract):
    @pytest.fixture
    def store(self) -> LogStore:
        return RelationalLogStore(settings.LOG_DATABASE)


def test_what_is_past_its_time_is_forgotten() -> None:
    store = RelationalLogStore(settings.LOG_DATABASE)
    subscriber = uuid.uuid4()
    append([entry(subscriber, NOW)], store)
    assert store.forget(time.time()) == 0
    Entry.objects.update(expires_at=time.time() - 1)
    assert store.forget(time.time()) == 1
    assert store.read(subscriber, after=positions.START, limit=9) == []

"""Two applications that know nothing of each other."""

import pytest

from tests.api_world import World, make_world
from tests.delivery.conftest import nobody_online

__all__ = ["nobody_online"]


@pytest.fixture
def shop(db: None) -> World:
    return make_world("shop")


@pytest.fixture
def bank(db: None) -> World:
    return make_world("bank")

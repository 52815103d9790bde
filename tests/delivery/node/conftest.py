"""A site for the tests of one module that need web processes."""

from collections.abc import Iterator

import pytest

from tests.delivery.node.site import Site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site without web processes: each test starts those it needs, or shares its module's."""
    with Site(tmp_path_factory.mktemp("site")) as made:
        yield made

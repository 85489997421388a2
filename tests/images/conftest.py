"""A server for the tests that need a real one."""

from collections.abc import Iterator

import pytest

from tests.server import Server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Vitrine in a process of its own, with the demo people; it lives as long as the test run."""
    with Server(tmp_path_factory.mktemp("server"), env={"VITRINE_STALL_TIMEOUT": "2", "VITRINE_IMAGE_SIZE_CAP": str(2**30)}) as server:
        yield server

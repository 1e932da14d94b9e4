"""A service for each file of tests, and for each test a project and a listing of the page."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.system.clients.page import Listing
from tests.system.clients.stage import Project, project_on
from tests.system.service import Service, serving


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("clients") / "state") as running:
        yield running


@pytest.fixture
def project(service: Service) -> Project:
    return project_on(service)


@pytest.fixture
def listing(request: pytest.FixtureRequest, service: Service) -> Iterator[Listing]:
    """What the test shows; at its end it is compared with the page."""
    seen = Listing(f"{Path(request.node.fspath).name}::{request.node.name}")
    seen.hide(str(service.state), "/var/lib/emberkeep")
    failures = request.session.testsfailed
    yield seen
    if request.session.testsfailed == failures:
        seen.settle()

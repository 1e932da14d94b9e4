"""Real servers, one of each for a session of tests."""

from collections.abc import Iterator

import pytest
from tests.services import ceph as ceph_module
from tests.services import keystone as keystone_module
from tests.services import swift as swift_module
from tests.services.ceph import Ceph
from tests.services.keystone import Keystone, People
from tests.services.swift import Swift


@pytest.fixture(scope="session")
def swift(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swift]:
    with swift_module.running(tmp_path_factory.mktemp("swift")) as running:
        yield running


@pytest.fixture(scope="session")
def keystone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keystone]:
    with keystone_module.running(tmp_path_factory.mktemp("keystone")) as running:
        yield running


@pytest.fixture(scope="session")
def people(keystone: Keystone) -> People:
    return keystone_module.people(keystone)


@pytest.fixture(scope="session")
def swift_of_keystone(
    tmp_path_factory: pytest.TempPathFactory, keystone: Keystone
) -> Iterator[Swift]:
    directory = tmp_path_factory.mktemp("swift-of-keystone")
    with swift_module.running(directory, keystone) as running:
        yield running


@pytest.fixture(scope="session")
def ceph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ceph]:
    with ceph_module.running(tmp_path_factory.mktemp("ceph")) as running:
        yield running

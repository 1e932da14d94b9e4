"""The object stores against real servers."""

import functools
import uuid

import boto3.session
import pytest
from botocore.config import Config
from tests.services.ceph import Ceph
from tests.services.swift import Swift

from emberkeep.stores.base import Store
from emberkeep.stores.open import open_store
from emberkeep.stores.options import StoreOptions
from emberkeep.testing.stores import StoreConformance

pytestmark = pytest.mark.slow

S3 = Swift | Ceph


@functools.cache
def bucket(server: S3) -> str:
    """The name of a bucket that was made for these tests."""
    client = boto3.session.Session().client(
        "s3",
        endpoint_url=server.s3_endpoint,
        aws_access_key_id=server.s3_access_key,
        aws_secret_access_key=server.s3_secret_key,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}),
    )
    name = f"bucket-{uuid.uuid4()}"
    client.create_bucket(Bucket=name)
    client.close()
    return name


def options(server: S3) -> StoreOptions:
    return StoreOptions(
        access_key=server.s3_access_key, secret_key=server.s3_secret_key, settles_within=0
    )


class S3Conformance(StoreConformance):
    @pytest.fixture
    def store(self, server: S3) -> Store:
        url = f"s3+{server.s3_endpoint}/{bucket(server)}/{uuid.uuid4()}/below"
        return open_store(url, options(server))


class TestS3OfSwift(S3Conformance):
    @pytest.fixture
    def server(self, swift: Swift) -> Swift:
        return swift


class TestS3OfCeph(S3Conformance):
    @pytest.fixture
    def server(self, ceph: Ceph) -> Ceph:
        return ceph

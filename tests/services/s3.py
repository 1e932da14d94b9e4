"""S3 as both real servers speak it."""

import functools
import uuid

import boto3.session
from botocore.config import Config
from tests.services.ceph import Ceph
from tests.services.swift import Swift

S3 = Swift | Ceph


@functools.cache
def bucket(server: S3, name: str = "backups") -> str:
    """The name of a bucket that was made for these tests."""
    client = boto3.session.Session().client(
        "s3",
        endpoint_url=server.s3_endpoint,
        aws_access_key_id=server.s3_access_key,
        aws_secret_access_key=server.s3_secret_key,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}),
    )
    client.create_bucket(Bucket=name)
    client.close()
    return name


def url(server: S3) -> str:
    """Of an empty store."""
    return f"s3+{server.s3_endpoint}/{bucket(server)}/{uuid.uuid4()}/below"

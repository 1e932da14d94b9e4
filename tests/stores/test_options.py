import dataclasses
from typing import Any

import pytest

from emberkeep.stores.options import StoreOptions


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"timeout": 0.0}, "timeout: "),
        ({"retries": -1}, "retries: "),
        ({"connections": 0}, "connections: "),
        ({"settles_within": -1.0}, "settles_within: "),
        ({"access_key": "key"}, "secret_key: is missing"),
        ({"sse": "aes256"}, "sse: 'aes256' is neither AES256 nor aws:kms"),
        ({"sse": "AES256", "sse_kms_key": "key"}, "sse_kms_key: "),
    ],
)
def test_a_wrong_value_is_told_with_the_options_name(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        StoreOptions(**values)


def test_secrets_are_not_shown() -> None:
    secrets = ("secret_key", "session_token", "password", "application_credential_secret")
    hidden: dict[str, Any] = dict.fromkeys(secrets, "hidden")
    assert "hidden" not in repr(StoreOptions(**hidden))
    assert {field.name for field in dataclasses.fields(StoreOptions) if not field.repr} == {
        *secrets
    }


def test_the_environment_of_awss_clients_is_read() -> None:
    found = StoreOptions.from_environment(
        {
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_SESSION_TOKEN": "token",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_CA_BUNDLE": "/ca.pem",
        }
    )
    assert found == StoreOptions(
        access_key="key",
        secret_key="secret",
        session_token="token",
        region="eu-west-1",
        ca_file="/ca.pem",
    )


def test_the_environment_of_openstacks_clients_is_read() -> None:
    found = StoreOptions.from_environment(
        {
            "OS_AUTH_URL": "https://keystone/v3",
            "OS_USERNAME": "user",
            "OS_PASSWORD": "secret",
            "OS_PROJECT_NAME": "project",
            "OS_USER_DOMAIN_NAME": "users",
            "OS_PROJECT_DOMAIN_NAME": "projects",
            "OS_REGION_NAME": "RegionOne",
            "OS_CACERT": "/ca.pem",
            "OS_APPLICATION_CREDENTIAL_ID": "id",
            "OS_APPLICATION_CREDENTIAL_SECRET": "credential",
            "ST_USER": "not this one",
        }
    )
    assert found == StoreOptions(
        auth_url="https://keystone/v3",
        username="user",
        password="secret",
        project_name="project",
        user_domain_name="users",
        project_domain_name="projects",
        region_name="RegionOne",
        ca_file="/ca.pem",
        application_credential_id="id",
        application_credential_secret="credential",
    )


def test_the_environment_of_swifts_first_client_is_read() -> None:
    found = StoreOptions.from_environment(
        {"ST_AUTH": "http://swift/auth/v1.0", "ST_USER": "test:tester", "ST_KEY": "secret"}
    )
    assert found == StoreOptions(
        auth_url="http://swift/auth/v1.0", username="test:tester", password="secret"
    )

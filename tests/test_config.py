"""What a zone's section says of its store."""

from pathlib import Path

import pytest

from emberkeep.config import ConfigurationError, load
from emberkeep.stores.options import StoreOptions

ZONES = "[availability_zones]\nenabled = az1, az2\n"


def configured(directory: Path, sections: str) -> tuple[StoreOptions, ...]:
    """The options of the zones' stores."""
    (directory / "emberkeep.conf").write_text(ZONES + sections)
    return tuple(zone.store for zone in load(directory).zones)


def test_a_zones_store_is_as_its_section_says(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("certificates")
    (tmp_path / "secret").write_text("secret\n")
    az1, az2 = configured(
        tmp_path,
        f"""
[zone:az1]
repository = s3+https://host/backups
store_access_key = key
store_secret_key_file = {tmp_path}/secret
store_region = eu-west-1
store_ca_file = {tmp_path}/ca.pem
store_sse = aws:kms
store_sse_kms_key = my-key
store_timeout = 10
store_retries = 3
store_connections = 4
store_settles_within = 0
[zone:az2]
repository = swift+https://host/v3/backups
store_username = user
store_password = secret
store_project_name = project
""",
    )
    assert az1 == StoreOptions(
        access_key="key",
        secret_key="secret",
        region="eu-west-1",
        ca_file=f"{tmp_path}/ca.pem",
        sse="aws:kms",
        sse_kms_key="my-key",
        timeout=10.0,
        retries=3,
        connections=4,
        settles_within=0.0,
    )
    assert az2 == StoreOptions(username="user", password="secret", project_name="project")


def test_a_zone_without_options_has_the_usual_ones(tmp_path: Path) -> None:
    assert configured(tmp_path, "") == (StoreOptions(), StoreOptions())


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("store_timeout = soon", "Value for option store_timeout"),
        ("store_retries = -1", r"\[zone:az1\] store_retries: "),
        ("store_sse = maybe", r"\[zone:az1\] store_sse: 'maybe' is neither"),
        ("store_access_key = key", r"\[zone:az1\] store_secret_key: is missing"),
        ("store_ca_file = /not/there", r"\[zone:az1\] store_ca_file: /not/there: No such file"),
        (
            "store_secret_key = 1\nstore_secret_key_file = /not/there",
            r"\[zone:az1\] store_secret_key_file: store_secret_key is set, too",
        ),
        ("store_password_file = /not/there", r"\[zone:az1\] store_password_file: /not/there: No"),
    ],
)
def test_a_wrong_option_of_a_store_is_told_by_name(tmp_path: Path, lines: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        configured(tmp_path, f"[zone:az1]\n{lines}\n")


def test_zones_that_share_a_repository_say_the_same_of_it(tmp_path: Path) -> None:
    section = "[zone:{}]\nrepository = s3+https://host/backups\nstore_retries = {}\n"
    same = section.format("az1", 3) + section.format("az2", 3)
    assert configured(tmp_path, same)[0].retries == 3
    with pytest.raises(ConfigurationError, match=r"\[zone:az2\] store_retries: .*\[zone:az1\]"):
        configured(tmp_path, section.format("az1", 3) + section.format("az2", 4))

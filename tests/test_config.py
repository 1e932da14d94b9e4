"""What `emberkeep.conf` may say, and how it is told what it should not."""

import pickle
import re
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from emberkeep.api import server
from emberkeep.api.core import FILTERS, Settings
from emberkeep.cli.main import main
from emberkeep.config import Configuration, ConfigurationError, load
from emberkeep.config.identity import options_of
from emberkeep.config.options import SECTIONS, ZONE
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
        ("store_timeout = soon", r"\[zone:az1\] store_timeout: "),
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


# The API's options.

AUTHTOKEN = """\
[DEFAULT]
auth_strategy = keystone
[keystone_authtoken]
auth_type = password
auth_url = http://keystone/v3
"""


def of(directory: Path, text: str) -> Configuration:
    (directory / "emberkeep.conf").write_text(text)
    return load(directory)


def told(directory: Path, text: str) -> str:
    """What is wrong with the file."""
    with pytest.raises(ConfigurationError) as refused:
        of(directory, text)
    where, _, message = str(refused.value).partition("emberkeep.conf: ")
    assert where == f"{directory}/"
    assert "\n" not in message
    return message


def test_the_api_is_as_by_default_without_a_word(tmp_path: Path) -> None:
    assert server.settings(load(tmp_path)) == Settings(loopback_only=True)


def test_the_api_is_as_the_file_says(tmp_path: Path) -> None:
    (tmp_path / "filters.json").write_text('{"backup": ["name~"], "other": []}')
    configuration = of(
        tmp_path,
        r"""
[DEFAULT]
public_endpoint = https://backups.example/volume
osapi_max_limit = 7
project_id_regex = [0-9a-z]+
resource_query_filters_file = filters.json
[oslo_middleware]
max_request_body_size = 1000
enable_proxy_headers_parsing = true
""",
    )
    found = server.settings(configuration)
    assert found == Settings(
        public_endpoint="https://backups.example/volume",
        osapi_max_limit=7,
        project_id_regex="[0-9a-z]+",
        max_request_body_size=1000,
        enable_proxy_headers_parsing=True,
        loopback_only=True,
        filters=found.filters,
    )
    assert dict(found.filters) == {"backup": ("name~",), "other": ()}
    assert {found.filters_of(name) for name in FILTERS if name != "backup"} == {()}


@pytest.mark.parametrize(
    ("line", "only"),
    [
        ("bind_host = ::1", True),
        ("bind_host = localhost", True),
        ("bind_host = 127.0.0.2", True),
        ("bind_host = backups.example", False),
        ("bind_host = 192.0.2.1", False),
        ("unix_socket = api.sock", False),  # no page reaches a socket by a name
    ],
)
def test_a_foreign_host_is_refused_on_loopback_without_authentication(
    tmp_path: Path, line: str, only: bool
) -> None:
    assert server.settings(of(tmp_path, f"[DEFAULT]\n{line}\n")).loopback_only is only
    behind = of(tmp_path, AUTHTOKEN.replace("[DEFAULT]", f"[DEFAULT]\n{line}"))
    assert server.settings(behind).loopback_only is False


def test_volumes_and_quotas_are_as_the_file_says(tmp_path: Path) -> None:
    configuration = of(
        tmp_path,
        """
[DEFAULT]
quota_backups = -1
per_volume_size_limit = 5
default_availability_zone = az2
allow_availability_zone_fallback = true
cloned_volume_same_az = false
no_snapshot_gb_quota = true
message_ttl = 60
""",
    )
    assert (configuration.quotas.backups, configuration.quotas.per_volume_gigabytes) == (-1, 5)
    volumes = configuration.volumes
    assert volumes.default_availability_zone == "az2"
    assert volumes.allow_availability_zone_fallback
    assert not volumes.cloned_volume_same_az
    assert volumes.no_snapshot_gb_quota
    assert configuration.message_ttl == 60


@pytest.mark.parametrize(
    ("lines", "zone"),
    [
        ("", "az1"),
        ("storage_availability_zone = az2", "az2"),
        ("storage_availability_zone = az2\ndefault_availability_zone = az1", "az1"),
    ],
)
def test_the_default_zone_of_volumes(tmp_path: Path, lines: str, zone: str) -> None:
    found = of(tmp_path, f"[DEFAULT]\n{lines}\n").volumes.default_availability_zone
    assert found == zone


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[DEFAULT]\nauth_strategy = none", "auth_strategy: Valid values are "),
        ("[DEFAULT]\nport = 70000", "port: Should be less than or equal to 65535"),
        ("[DEFAULT]\npublic_endpoint = ftp://x", "public_endpoint: "),
        ("[DEFAULT]\nproject_id_regex = (", "project_id_regex: missing ), unterminated"),
        ("[DEFAULT]\nquota_backups = -2", "quota_backups: "),
        ("[DEFAULT]\nquota_backups = many", "quota_backups: "),
        ("[DEFAULT]\nosapi_max_limit = 0", "osapi_max_limit: "),
        ("[oslo_middleware]\nmax_request_body_size = x", "[oslo_middleware] max_request_body_si"),
        ("[backups]\ncompression_level = 20", "[backups] compression_level: "),
        ("[DEFAULT]\ndefault_availability_zone = x", "default_availability_zone: no zone 'x'"),
        (
            "[DEFAULT]\nresource_query_filters_file = no.json",
            "resource_query_filters_file: {at}/no.json: No such file",
        ),
        (
            "[DEFAULT]\nresource_query_filters_file = emberkeep.conf",
            "resource_query_filters_file: {at}/emberkeep.conf: is no JSON: ",
        ),
        (
            "[DEFAULT]\nresource_query_filters_file = list.json",
            "resource_query_filters_file: {at}/list.json: is no object whose values are lists",
        ),
        ("[DEFAULT]\nauth_strategy = keystone", "[keystone_authtoken] auth_type: is missing"),
        (
            "[DEFAULT]\nauth_strategy = keystone\n[keystone_authtoken]\nauth_type = x",
            "[keystone_authtoken] auth_type: there is no 'x'",
        ),
        (
            "[DEFAULT]\nauth_strategy = keystone\n[keystone_authtoken]\nauth_type = password",
            "[keystone_authtoken] auth_url: is missing",
        ),
        (
            "[keystone_authtoken]\ntoken_cache_time = long",
            "[keystone_authtoken] token_cache_time: ",
        ),
    ],
)
def test_a_wrong_value_is_told_with_its_option(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "list.json").write_text('{"backup": "name"}')
    assert told(tmp_path, text).startswith(message.format(at=tmp_path))


@pytest.mark.parametrize(
    ("text", "what", "meant"),
    [
        ("[DEFAULT]\nauth_strateyg = keystone", "[DEFAULT] auth_strateyg", "auth_strategy"),
        ("[DEFAULT]\ncompletely = other", "[DEFAULT] completely", ""),
        ("[default]\nport = 1", "[default]", "DEFAULT"),
        ("[jobs]\nLease = 1", "[jobs] Lease", "lease"),
        ("[keystone_authtokens]\nx = 1", "[keystone_authtokens]", "keystone_authtoken"),
        ("[zone:az3]\nvolumes = none", "[zone:az3]", "zone:az2"),
        ("[zone:az1]\nvolume = none", "[zone:az1] volume", "volumes"),
        ("[keystone_authtoken]\npasword = x", "[keystone_authtoken] pasword", "password"),
        (AUTHTOKEN + "userid = x", "[keystone_authtoken] userid", "user_id"),
    ],
)
def test_what_nobody_knows_is_warned_of(tmp_path: Path, text: str, what: str, meant: str) -> None:
    (warning,) = of(tmp_path, text).warnings
    kind = "section" if what.endswith("]") else "option"
    like = f"; is {meant} meant?" if meant else ""
    assert warning == f"{tmp_path}/emberkeep.conf: {what}: there is no such {kind}{like}"


def test_sections_are_known_in_any_case(tmp_path: Path) -> None:
    configuration = of(tmp_path, "[Jobs]\nlease = 5\n[Zone:AZ1]\nvolumes = none\n")
    assert configuration.warnings == ()
    assert (configuration.jobs.lease, configuration.zones[0].volumes) == (5, None)


def test_the_environment_goes_before_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OS_DEFAULT__PORT", "1234")
    monkeypatch.setenv("OS_JOBS__LEASE", "7")
    monkeypatch.setenv("OS_KEYSTONE_AUTHTOKEN__PASSWORD", "from-the-environment")
    configuration = of(tmp_path, "[DEFAULT]\nport = 1\n" + AUTHTOKEN)
    assert (configuration.port, configuration.jobs.lease) == (1234, 7)
    section = options_of(tmp_path / "emberkeep.conf")["keystone_authtoken"]
    assert (section.auth_url, section.password) == ("http://keystone/v3", "from-the-environment")


def test_names_that_operators_of_cinder_write_are_known(tmp_path: Path) -> None:
    more = """
www_authenticate_uri = http://keystone
memcached_servers = localhost:11211
user_domain_name = Default
project-name = service
username = emberkeep
password = secret
region_name = RegionOne
service_token_roles = service
service_token_roles_required = true
service_type = volumev3
insecure = false
"""
    assert of(tmp_path, AUTHTOKEN + more).warnings == ()
    elsewhere = AUTHTOKEN.replace("auth_type = password", "auth_section = login")
    login = "[login]\nauth_type = v3token\nauth_url = http://keystone/v3\ntoken = x\n"
    (warning,) = of(tmp_path, elsewhere + login).warnings
    assert "[keystone_authtoken] auth_url: there is no such option" in warning


def test_the_policy_file_is_beside_the_configuration_or_where_it_says(tmp_path: Path) -> None:
    assert load(tmp_path).policy_file == tmp_path / "policy.yaml"
    named = "[oslo_policy]\npolicy_file = other.yaml\n"
    missing = f"[oslo_policy] policy_file: {tmp_path}/other.yaml: No such file or directory"
    assert told(tmp_path, named) == missing
    (tmp_path / "other.yaml").touch()
    assert of(tmp_path, named).policy_file == tmp_path / "other.yaml"
    elsewhere = f"[oslo_policy]\npolicy_file = {tmp_path}/other.yaml\n"
    assert of(tmp_path, elsewhere).policy_file == tmp_path / "other.yaml"


SECRET = "hunter2-the-secret"


@pytest.mark.parametrize(
    "text",
    [
        f"[keystone_authtoken]\npassword {SECRET}\n",
        f"[zone:az1]\nstore_secret_key: x\n  y\n{SECRET}\n",
        f"{SECRET}\n",
        f"[keystone_authtoken\npassword = {SECRET}\n",
        AUTHTOKEN + f"password = $nothing{SECRET}\nuserid = x\n",
        f"[zone:az1]\nstore_access_key = k\nstore_secret_key = ${{x.y}}{SECRET}\n",
        f"[zone:az1]\nstore_access_key = k\nstore_secret_key = {SECRET}\nstore_timeout = x\n",
        f"[database]\nconnection = postgresql://u:{SECRET}@host/x\n[jobs]\nlease = x\n",
    ],
)
def test_no_error_quotes_a_secret(tmp_path: Path, text: str) -> None:
    try:
        of(tmp_path, text)
    except ConfigurationError as error:
        seen: BaseException | None = error
        while seen is not None:
            assert SECRET not in str(seen)
            seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)


def test_a_configuration_goes_to_another_process(tmp_path: Path) -> None:
    (tmp_path / "filters.json").write_text('{"backup": ["name"]}')
    named = "resource_query_filters_file = filters.json"
    configuration = of(tmp_path, AUTHTOKEN.replace("[DEFAULT]", f"[DEFAULT]\n{named}"))
    assert pickle.loads(pickle.dumps(configuration)) == configuration


# The sample.


def sample() -> str:
    printed = CliRunner().invoke(main, ["config", "sample"])
    assert printed.exit_code == 0, printed.output
    return printed.stdout


def test_the_sample_changes_nothing(tmp_path: Path) -> None:
    defaults = load(tmp_path)
    assert of(tmp_path, sample()) == defaults


def test_what_the_sample_says_is_the_default_and_known(tmp_path: Path) -> None:
    defaults = load(tmp_path)
    assignment = re.compile(r"^#(\w+ = (?!<None>).*)$", re.MULTILINE)
    spoken, count = assignment.subn(r"\1", sample())
    assert count > 50
    assert "port = 8776" in spoken.splitlines()
    assert of(tmp_path, spoken) == replace(defaults, warnings=())


def test_every_option_has_its_help_in_the_sample() -> None:
    printed = sample()
    for section in (*SECTIONS, ZONE):
        for option in section.options:
            assert option.help, option.name
            assert f"\n#{option.dest} = " in printed
    for line in printed.splitlines():
        assert len(line) <= 100, line
    for option in ("auth_url", "password", "www_authenticate_uri", "service_token_roles"):
        assert f"\n#{option} = " in printed

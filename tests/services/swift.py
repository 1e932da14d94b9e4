"""A real Swift: one server of each kind on one directory, one replica, with its S3 API.

Accounts and tokens are tempauth's, or those of a real Keystone.
"""

import contextlib
import getpass
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.services.keystone import Keystone
from tests.services.packages import debian, environment
from tests.services.servers import Server, free_ports, serving

REGION = "us-east-1"


@dataclass(frozen=True)
class Swift:
    """What a client needs; `servers` may be stopped and started: account, container, object, proxy.

    With a Keystone, `auth_url`, `user` and `key` are for version 3, with `project` in the domain
    Default; without, they are for version 1 and `project` is None.
    """

    auth_url: str
    storage_url: str
    user: str
    key: str
    project: str | None
    s3_endpoint: str
    s3_access_key: str
    s3_secret_key: str
    servers: dict[str, Server] = field(hash=False)


@contextlib.contextmanager
def running(directory: Path, keystone: Keystone | None = None) -> Iterator[Swift]:
    """Run Swift on `directory`, on a file system with user attributes, while the context lasts."""
    commands = environment("swift")
    memcached = debian("memcached")
    disk = directory / "disks" / "d1"
    disk.mkdir(parents=True)
    os.setxattr(disk, "user.swift.probe", b"x" * 2000)  # Swift keeps its metadata in these
    cache, account, container, object_, proxy = free_ports(5)
    backends = {"account": account, "container": container, "object": object_}
    (directory / "swift.conf").write_text(SWIFT)
    for kind, port in backends.items():
        text = (DEFAULTS + BACKEND).format(
            kind=kind, port=port, at=directory, user=getpass.getuser()
        )
        (directory / f"{kind}.conf").write_text(text)
    auth = "s3api tempauth" if keystone is None else "authtoken s3api s3token keystoneauth"
    text = DEFAULTS + PROXY + (TEMPAUTH if keystone is None else KEYSTONE)
    (directory / "proxy.conf").write_text(
        text.format(
            kind="proxy",
            port=proxy,
            at=directory,
            user=getpass.getuser(),
            auth=auth,
            cache=cache,
            keystone=keystone,
            region=REGION,
        )
    )
    rings = [commands / "python", "-c", RINGS, directory]
    subprocess.run([*rings, *(f"{kind}:{port}" for kind, port in backends.items())], check=True)
    root = ["-u", "root"] if os.getuid() == 0 else []
    with contextlib.ExitStack() as stack:
        stack.enter_context(
            serving(
                [memcached, "-l", "127.0.0.1", "-p", str(cache), "-U", "0", "-m", "16", *root],
                log=directory / "memcached.log",
                answers=cache,
            )
        )
        servers = {
            kind: stack.enter_context(
                serving(
                    [commands / f"swift-{kind}-server", directory / f"{kind}.conf", "-v"],
                    log=directory / f"{kind}.log",
                    answers=port,
                )
            )
            for kind, port in {**backends, "proxy": proxy}.items()
        }
        yield _client_side(f"http://127.0.0.1:{proxy}", keystone, servers)


def _client_side(base: str, keystone: Keystone | None, servers: dict[str, Server]) -> Swift:
    if keystone is None:
        return Swift(
            auth_url=f"{base}/auth/v1.0",
            storage_url=f"{base}/v1/AUTH_test",
            user="test:tester",
            key="testing",
            project=None,
            s3_endpoint=base,
            s3_access_key="test:tester",
            s3_secret_key="testing",
            servers=servers,
        )
    keystone.offer("object-store", f"{base}/v1/AUTH_$(project_id)s")
    access_key, secret_key = keystone.ec2_credential()
    return Swift(
        auth_url=keystone.auth_url,
        storage_url=f"{base}/v1/AUTH_{keystone.project_id}",
        user=keystone.user,
        key=keystone.password,
        project=keystone.project,
        s3_endpoint=base,
        s3_access_key=access_key,
        s3_secret_key=secret_key,
        servers=servers,
    )


SWIFT = """\
[swift-hash]
swift_hash_path_prefix = test
swift_hash_path_suffix = test
[storage-policy:0]
name = Policy-0
default = yes
[swift-constraints]
container_listing_limit = 100
"""
DEFAULTS = """\
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {at}
log_level = WARNING
"""
BACKEND = """\
devices = {at}/disks
mount_check = false
fallocate_reserve = 0
recon_cache_path = {at}
[pipeline:main]
pipeline = healthcheck {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
[filter:healthcheck]
use = egg:swift#healthcheck
"""
# Its time-outs are long, so that a busy machine does not turn into answers of 503.
PROXY = """\
conn_timeout = 5
node_timeout = 60
recoverable_node_timeout = 60
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck cache listing_formats {auth} copy \
container-quotas slo dlo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{cache}
[filter:s3api]
use = egg:swift#s3api
location = {region}
max_bucket_listing = 100
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:copy]
use = egg:swift#copy
[filter:container-quotas]
use = egg:swift#container_quotas
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
"""
TEMPAUTH = """\
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
"""
KEYSTONE = """\
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
www_authenticate_uri = {keystone.auth_url}
auth_type = password
auth_url = {keystone.auth_url}
username = {keystone.service_user}
password = {keystone.service_password}
project_name = service
user_domain_id = default
project_domain_id = default
delay_auth_decision = True
service_token_roles_required = True
[filter:s3token]
use = egg:swift#s3token
auth_uri = {keystone.auth_url}
auth_type = password
auth_url = {keystone.auth_url}
username = {keystone.service_user}
password = {keystone.service_password}
project_name = service
user_domain_id = default
project_domain_id = default
reseller_prefix = AUTH_
delay_auth_decision = True
[filter:keystoneauth]
use = egg:swift#keystoneauth
operator_roles = admin, member
reseller_prefix = AUTH_
"""
RINGS = """\
import sys
from swift.common.ring import RingBuilder
directory, *backends = sys.argv[1:]
for kind, port in (backend.split(":") for backend in backends):
    builder = RingBuilder(4, 1, 0)
    builder.add_dev({
        "region": 1, "zone": 1, "device": "d1", "weight": 1.0, "meta": "",
        "ip": "127.0.0.1", "port": int(port),
        "replication_ip": "127.0.0.1", "replication_port": int(port),
    })
    builder.rebalance()
    builder.get_ring().save(f"{directory}/{kind}.ring.gz")
"""

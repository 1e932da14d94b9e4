"""A real Ceph with its S3 service: one monitor, one OSD in memory, one radosgw."""

import contextlib
import os
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.certificates import certificates
from tests.services.packages import PATH, debian
from tests.services.servers import free_ports, serving


@dataclass(frozen=True)
class Ceph:
    """What a client of its S3 API needs; buckets are addressed by path."""

    s3_endpoint: str
    s3_tls_endpoint: str  # its certificate is of the authority in `ca_file`
    ca_file: Path
    s3_access_key: str
    s3_secret_key: str
    kms_key: str  # the id of a key for encryption by aws:kms
    configuration: Path

    def limit(self, size: int) -> None:
        """Let the user have no more than `size` bytes; without limit if it is negative."""
        quota = ["--quota-scope", "user", "--uid", "test"]
        for command in (["set", "--max-size", str(size)], ["enable" if size >= 0 else "disable"]):
            _run(self.configuration, "radosgw-admin", "-n", "client.rgw", "quota", *command, *quota)


@contextlib.contextmanager
def running(directory: Path) -> Iterator[Ceph]:
    """Run Ceph on `directory` while the context lasts; its objects are lost with it."""
    debian("radosgw")
    monitor, gateway, tls = free_ports(3)
    pems = certificates(directory)
    cluster = str(uuid.uuid4())
    file = directory / "ceph.conf"
    file.write_text(
        CONFIGURATION.format(at=directory, cluster=cluster, monitor=monitor, kms_key=KMS_KEY)
    )
    (directory / "osd").mkdir()

    def run(command: str, *arguments: str | Path) -> None:
        _run(file, command, *arguments)

    def answers(question: str, wanted: str) -> bool:
        told = subprocess.run(
            ["ceph", "-c", file, "--connect-timeout", "4", *question.split()],
            capture_output=True,
            text=True,
        )
        return told.returncode == 0 and wanted in told.stdout

    with contextlib.ExitStack() as stack:
        address = f"[v2:127.0.0.1:{monitor}]"
        map_ = directory / "monmap"
        make = ["monmaptool", "--create", "--fsid", cluster, "--addv", "a", address, map_]
        subprocess.run(make, check=True, capture_output=True, env={**os.environ, "PATH": PATH})
        run("ceph-mon", "-i", "a", "--mkfs", "--monmap", map_)
        stack.enter_context(
            serving(
                ["ceph-mon", "-c", file, "-f", "-i", "a"],
                log=directory / "mon.log",
                answers=lambda: answers("fsid", cluster),
            )
        )
        disk = str(uuid.uuid4())
        run("ceph", "osd", "new", disk, "0")
        run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", disk)
        stack.enter_context(
            serving(
                ["ceph-osd", "-c", file, "-f", "-i", "0"],
                log=directory / "osd.log",
                answers=lambda: answers("osd stat -f json", '"num_up_osds":1'),
            )
        )
        stack.enter_context(
            serving(
                [
                    *("radosgw", "-c", file, "-f", "-n", "client.rgw"),
                    *("--rgw-data", directory, "--rgw-thread-pool-size", "64"),
                    "--rgw-frontends",
                    f"beast endpoint=127.0.0.1:{gateway} ssl_endpoint=127.0.0.1:{tls} "
                    f"ssl_certificate={pems.server} tcp_nodelay=1",
                ],
                log=directory / "rgw.log",
                answers=gateway,
            )
        )
        user = ["--uid", "test", "--display-name", "Test"]
        keys = ["--access-key", "test", "--secret-key", "testing"]
        run("radosgw-admin", "-n", "client.rgw", "user", "create", *user, *keys)
        yield Ceph(
            s3_endpoint=f"http://127.0.0.1:{gateway}",
            s3_tls_endpoint=f"https://127.0.0.1:{tls}",
            ca_file=pems.authority,
            s3_access_key="test",
            s3_secret_key="testing",
            kms_key=KMS_KEY,
            configuration=file,
        )


def _run(configuration: Path, command: str, *arguments: str | Path) -> None:
    with configuration.with_name("commands.log").open("ab") as log:
        subprocess.run(
            [command, "-c", configuration, *arguments],
            check=True,
            stdout=log,
            stderr=log,
            env={**os.environ, "PATH": PATH, "CEPH_ARGS": ""},
        )


KMS_KEY = "key-of-the-tests"


# The daemons trust each other; one copy of all; no admin sockets, whose paths could be too long.
CONFIGURATION = """\
[global]
fsid = {cluster}
mon_host = [v2:127.0.0.1:{monitor}]
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
auth_allow_insecure_global_id_reclaim = false
ms_mon_client_mode = crc
keyring = /dev/null
run_dir = {at}
log_file = {at}/$name.log
crash_dir = {at}
admin_socket =
mon_data_avail_warn = 1
mon_data_avail_crit = 0
mon_allow_pool_size_one = true
mon_warn_on_pool_no_redundancy = false
mon_max_pg_per_osd = 1000
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_pool_default_pgp_num = 8
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
rgw_dynamic_resharding = false
rgw_max_listing_results = 100
# Its key service for tests, which needs no other server.
rgw_crypt_require_ssl = false
rgw_crypt_s3_kms_backend = testing
rgw_crypt_s3_kms_encryption_keys = {kms_key}=MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=
# A quota counts at once.
rgw_user_quota_bucket_sync_interval = 0
rgw_bucket_quota_ttl = 0
[mon.a]
mon_data = {at}/mon
mon_cluster_log_file = {at}/cluster.log
[osd.0]
osd_data = {at}/osd
osd_objectstore = memstore
memstore_device_bytes = 8589934592
"""

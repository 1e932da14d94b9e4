"""Tempest with the block-storage plugin, unmodified, against what a Keystone's catalogue names.

It knows a test by its dotted name; the ids that stand behind it in brackets are left away here.
"""

import contextlib
import http.server
import json
import os
import subprocess
import sysconfig
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.services.keystone import ADMIN_PASSWORD, REGION, Keystone
from tests.services.packages import environment

SELECTED = r"^(tempest\.api\.volume|cinder_tempest_plugin)\."
WORKERS = 4  # they sleep most of the time, until what they look at again has changed
PATIENCE = 1800  # seconds after which a run that does not end is a failure


@dataclass(frozen=True)
class Outcome:
    """What became of one test: passed, failed or skipped; of the latter two, why."""

    status: str
    seconds: float
    reason: str


@dataclass(frozen=True)
class Tempest:
    """One configured Tempest; its logs lie in `directory`."""

    commands: Path
    directory: Path
    ids: dict[str, str] = field(repr=False)  # of the selected modules' tests, by name

    def run(self, names: Iterable[str]) -> dict[str, Outcome]:
        """Run these tests; one of them without an outcome is not there, or was not reached."""
        chosen = self.directory / "chosen.txt"
        chosen.write_text("".join(f"{self.ids[name]}\n" for name in names if name in self.ids))
        stream = self.directory / "stream"
        with stream.open("wb") as out, (self.directory / "run.log").open("wb") as log:
            subprocess.run(
                [
                    *(self.commands / "tempest", "run", "--subunit", "--load-list", chosen),
                    *("--concurrency", str(WORKERS)),
                ],
                cwd=self.directory,
                env=_environment(self.commands, self.directory),
                stdout=out,
                stderr=log,
                timeout=PATIENCE,
            )
        rows = subprocess.run(
            [self.commands / "python", "-c", READ, stream],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        return {
            name: Outcome(status, seconds, reason)
            for name, status, seconds, reason in map(json.loads, rows.splitlines())
        }


@contextlib.contextmanager
def configured(directory: Path, keystone: Keystone) -> Iterator[Tempest]:
    """Make Tempest ready on `directory`; the context keeps the network service that it wants."""
    commands = environment("tempest")
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(commands.parent)}))
    (directory / "tempest.conf").write_text(
        CONFIGURATION.format(
            at=directory, keystone=keystone, password=ADMIN_PASSWORD, region=REGION
        )
    )
    (directory / ".stestr.conf").write_text(STESTR.format(packages=packages))
    stestr = commands / "stestr"
    settings = _environment(commands, directory)
    subprocess.run([stestr, "init"], check=True, cwd=directory, env=settings)
    listed = subprocess.run(
        [stestr, "list", SELECTED],
        check=True,
        cwd=directory,
        env=settings,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout.split()
    with _no_network() as url:
        keystone.offer("network", url)
        yield Tempest(commands, directory, {one.partition("[")[0]: one for one in listed})


def _environment(commands: Path, directory: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PATH": f"{commands}:{os.environ['PATH']}",
        "TEMPEST_CONFIG_DIR": str(directory),
        "TEMPEST_CONFIG": "tempest.conf",
    }


class _NoNetwork(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        collection = self.path.partition("?")[0].rstrip("/").rpartition("/")[2]
        body = json.dumps({collection.replace("-", "_"): []}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def _no_network() -> Iterator[str]:
    """Serve a network service that has nothing.

    Tempest leaves classes of backup tests out unless there is a network service, and asks it for
    the security groups of each project that it removes.
    """
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _NoNetwork) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


CONFIGURATION = """\
[DEFAULT]
log_dir = {at}
log_file = tempest.log
[auth]
use_dynamic_credentials = true
create_isolated_networks = false
admin_username = admin
admin_password = {password}
admin_project_name = admin
admin_domain_name = Default
tempest_roles = member
[identity]
uri_v3 = {keystone.auth_url}
auth_version = v3
region = {region}
v3_endpoint_type = public
[service_available]
cinder = true
nova = false
# There is none, but classes that need none fail to set up without its client.
glance = true
neutron = true
swift = false
[volume]
catalog_type = block-storage
endpoint_type = public
# Not Swift, so that no test looks into an object store.
backup_driver = posix
build_interval = 1
build_timeout = 120
min_microversion = 3.0
max_microversion = latest
[volume-feature-enabled]
backup = true
snapshot = true
clone = true
concurrency_tests = true
volume_revert = true
[enforce_scope]
cinder = true
[oslo_concurrency]
lock_path = {at}/locks
"""
STESTR = """\
[DEFAULT]
test_path = {packages}/tempest/test_discover
top_dir = {packages}
group_regex = ([^\\.]*\\.)*
"""
# Prints one JSON list a test of a stream of results: name, status, seconds, reason.
READ = """\
import json, sys
import subunit, testtools

STATUSES = {"success": "passed", "skip": "skipped"}

def tell(test):
    started, ended = test["timestamps"]
    seconds = (ended - started).total_seconds() if started and ended else 0
    texts = {name: content.as_text() for name, content in test["details"].items()}
    kept = [text for name, text in texts.items() if name.startswith(("reason", "traceback"))]
    name, status = test["id"].partition("[")[0], STATUSES.get(test["status"], "failed")
    print(json.dumps([name, status, seconds, "" if status == "passed" else "\\n".join(kept)]))

with open(sys.argv[1], "rb") as stream:
    outcomes = testtools.StreamToDict(tell)
    outcomes.startTestRun()
    subunit.ByteStreamToStreamResult(stream, non_subunit_name="stdout").run(outcomes)
    outcomes.stopTestRun()
"""

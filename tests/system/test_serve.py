"""`emberkeep serve` as its user meets it."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.system.service import (
    PROJECT,
    Service,
    command,
    free_port,
    serving,
    start,
    stop,
    until,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("serve") / "state") as running:
        yield running


def test_it_is_ready_when_the_root_answers_300(service: Service) -> None:
    assert service.call("GET", "//").status == 300


def test_the_state_directory_is_private(service: Service) -> None:
    assert service.state.stat().st_mode & 0o777 == 0o700
    for name in ("clouds.yaml", "emberkeep.key"):
        assert (service.state / name).stat().st_mode & 0o777 == 0o600


def test_a_second_service_on_the_same_state_directory_refuses(service: Service) -> None:
    arguments = ("serve", "--state-dir", service.state, "--port", str(free_port()))
    assert "is in use by another emberkeep serve" in command(*arguments, code=2)
    assert service.call("GET", "//").status == 300


def test_a_port_that_is_taken_is_one_line_and_code_2(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        said = command("serve", "--state-dir", tmp_path / "state", "--port", port, code=2)
    assert said.splitlines()[-1].startswith(f"emberkeep: can't listen on 127.0.0.1:{port}")
    assert "Traceback" not in said


def test_another_key_than_the_stores_is_one_line_and_code_2(tmp_path: Path) -> None:
    state = tmp_path / "state"
    stop(start(state))
    (state / "emberkeep.key").rename(state / "old.key")
    lost = command("serve", "--state-dir", state, "--port", str(free_port()), code=2)
    assert "emberkeep.key is missing" in lost
    stop(start(tmp_path / "other"))
    (tmp_path / "other" / "emberkeep.key").rename(state / "emberkeep.key")
    wrong = command("serve", "--state-dir", state, "--port", str(free_port()), code=2)
    assert "was made with another key" in wrong
    assert "Traceback" not in lost + wrong


@pytest.mark.parametrize(
    ("conf", "said"),
    [
        ("[DEFAULT]\nport = many\n", "port"),
        ("[DEFAULT]\nbind_host = 0.0.0.0\n", "without authentication"),
        ("[availability_zones]\nenabled = a, a\n", "[availability_zones] enabled"),
        ("[zone:az1]\nvolumes = rbd\n", "[zone:az1] volumes"),
        ("[zone:az1]\nrepository = ftp://x\n", "no such kind of store"),
        ("[backups]\ndefault_availability_zone = x\n", "default_availability_zone"),
        ("nonsense", "emberkeep.conf"),
        ("[DEFAULT]\nauth_strategy = keystone\n", "[keystone_authtoken] auth_type"),
        ("[oslo_policy]\npolicy_file = emberkeep.conf\n", "emberkeep.conf: line 2: "),
        ("[oslo_policy]\npolicy_file = no.yaml\n", "no.yaml: No such file"),
    ],
)
def test_a_wrong_value_is_reported_with_its_option(tmp_path: Path, conf: str, said: str) -> None:
    (tmp_path / "emberkeep.conf").write_text(conf)
    answer = command("serve", "--state-dir", tmp_path, "--port", str(free_port()), code=2)
    assert said in answer.splitlines()[-1]
    assert "Traceback" not in answer


def test_another_address_needs_a_word_of_the_operators_and_is_loud(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    # A name that is not known to be loopback only, though it is here.
    (state / "emberkeep.conf").write_text("[DEFAULT]\nbind_host = LOCALHOST\nprot = 1\n")
    said = command("serve", "--state-dir", state, "--port", str(free_port()), code=2)
    assert "without authentication the service binds loopback only" in said.splitlines()[-1]
    with serving(state, "--insecure-no-authentication") as service:
        anywhere = {"Host": "backups.example"}
        assert service.call("GET", "/backups", headers=anywhere).status == 200
        assert "WITHOUT AUTHENTICATION, ON THE NETWORK" in service.log()
        assert "[DEFAULT] prot: there is no such option; is port meant?" in service.log()


def test_a_socket_of_its_owners_may_take_an_addresss_place(tmp_path: Path) -> None:
    state, path = tmp_path / "state", tmp_path / "api.sock"
    service = start(state, "--unix-socket", str(path), socket_path=path)
    try:
        assert path.stat().st_mode & 0o777 == 0o600
        assert not (state / "clouds.yaml").exists()
        again = command("serve", "--state-dir", tmp_path / "x", "--unix-socket", path, code=2)
        assert f"can't listen on {path}: Address already in use" in again
        children = [service.child(name) for name in ("api", "worker")]
        service.process.kill()  # leaves its socket behind
        service.process.wait()
        for child in children:
            child.wait(20)
    finally:
        stop(service)
    service = start(state, "--unix-socket", str(path), socket_path=path)
    stop(service)


def test_a_child_that_dies_is_started_again(service: Service) -> None:
    for name in ("api", "worker"):
        child = service.child(name)
        child.kill()
        child.wait(30)
        until(lambda name=name, old=child.pid: service.child(name).pid != old, "a new process")
    until(service.ready, "an answer of GET /")
    made = service.call("POST", "/volumes", {"volume": {"size": 1}}).body["volume"]["id"]
    until(lambda: service.volume(made)["status"] == "available", "the volume")


def test_the_children_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    service = start(tmp_path / "state")
    children = [service.child("api"), service.child("worker")]
    service.process.kill()
    service.process.wait()
    for child in children:
        child.wait(20)


def test_sigterm_ends_it_within_ten_seconds_and_a_restart_continues(tmp_path: Path) -> None:
    image = tmp_path / "image"
    with image.open("wb") as file:
        for _ in range(256):
            file.write(os.urandom(1 << 20))
        file.truncate(1 << 30)
    service = start(tmp_path / "state")
    try:
        imported = command(
            *("volume", "import", "--json", "--state-dir", service.state),
            *("--availability-zone", "az1", "--project", PROJECT, image),
        )
        volume = json.loads(imported)["id"]
        asked = {"backup": {"volume_id": volume, "availability_zone": "az2"}}
        backup = service.call("POST", "/backups", asked).body["backup"]["id"]
        until(lambda: service.progress(backup)["bytes_done"] > 0, "progress")
        service.process.send_signal(signal.SIGTERM)
        service.process.wait(10)
        assert service.process.returncode == 0
        service = start(service.state, port=service.port)
        until(lambda: service.backup(backup)["status"] != "creating", "the end of the backup")
        assert service.backup(backup)["status"] == "available"
        assert service.volume(volume)["status"] == "available"
    finally:
        stop(service)


def test_the_clouds_file_is_enough_for_the_openstack_client(service: Service) -> None:
    import yaml

    cloud = yaml.safe_load((service.state / "clouds.yaml").read_text())["clouds"]["emberkeep"]
    assert cloud["auth_type"] == "admin_token"
    assert cloud["auth"]["endpoint"] == f"http://127.0.0.1:{service.port}/v3"
    user, _colon, project = cloud["auth"]["token"].partition(":")
    assert service.call("GET", "/backups", project=project).status == 200
    assert user


def test_the_command_line_says_what_is_wrong_in_one_line(tmp_path: Path, service: Service) -> None:
    state = ("--state-dir", service.state)
    zone = ("--availability-zone", "az1")
    image = tmp_path / "image"
    image.write_bytes(b"x")
    cases = [
        ("volume", "import", *state, *zone, tmp_path / "missing"),
        ("volume", "import", *state, *zone, tmp_path),
        ("volume", "import", *state, "--availability-zone", "nowhere", image),
        ("volume", "path", *state, "no-such-volume"),
        ("volume", "list", "--state-dir", tmp_path / "no-state"),
        ("key", "import", *state, image),
        ("key", "export", "--state-dir", tmp_path / "no-state"),
        ("repo", "rebuild", *state, "--availability-zone", "nowhere"),
        ("repo", "collect", "--state-dir", tmp_path / "no-state"),
    ]
    for case in cases:
        said = command(*case, code=2)
        assert said.startswith("emberkeep: "), (case, said)
        assert len(said.splitlines()) == 1, (case, said)


def test_a_referenced_image_is_used_where_it_lies_and_never_deleted(
    tmp_path: Path, service: Service
) -> None:
    image = tmp_path / "image"
    image.write_bytes(os.urandom(1 << 20))
    imported = command(
        *("volume", "import", "--json", "--reference", "--state-dir", service.state),
        *("--availability-zone", "az1", "--project", PROJECT, image),
    )
    volume = json.loads(imported)["id"]
    assert service.path(volume) == image
    created = service.call("POST", "/backups", {"backup": {"volume_id": volume}}).body["backup"]
    until(lambda: service.backup(created["id"])["status"] == "available", "the backup")
    service.call("DELETE", f"/volumes/{volume}")
    until(lambda: service.call("GET", f"/volumes/{volume}").status == 404, "the deletion")
    assert image.exists()
    exported = tmp_path / "exported"
    restore = {"restore": {"name": "again"}}
    answer = service.call("POST", f"/backups/{created['id']}/restore", restore).body["restore"]
    until(lambda: service.volume(answer["volume_id"])["status"] == "available", "the restore")
    command("volume", "export", "--state-dir", service.state, answer["volume_id"], exported)
    assert exported.read_bytes()[: 1 << 20] == image.read_bytes()
    assert exported.stat().st_size == 1 << 30
    assert "exists" in command(
        "volume", "export", "--state-dir", service.state, answer["volume_id"], exported, code=2
    )


def test_a_key_is_exported_and_imported_under_a_passphrase(
    tmp_path: Path, service: Service
) -> None:
    words = tmp_path / "words"
    words.write_text("correct horse\n")
    protected = ("--passphrase-file", words)
    text = tmp_path / "key.txt"
    text.write_text(command("key", "export", "--state-dir", service.state, *protected))
    command("key", "import", "--state-dir", tmp_path / "new", *protected, text)
    made = (tmp_path / "new" / "emberkeep.key").read_text()
    assert made == (service.state / "emberkeep.key").read_text()
    assert "passphrase" in command("key", "import", "--state-dir", tmp_path / "x", text, code=2)
    again = command("key", "import", "--state-dir", tmp_path / "new", *protected, text, code=2)
    assert "exists" in again.lower()


def test_nothing_of_it_listens_beyond_loopback(service: Service) -> None:
    listening = subprocess.run(["cat", "/proc/net/tcp"], capture_output=True, text=True).stdout
    port = f":{service.port:04X} "
    lines = [line.split() for line in listening.splitlines() if port in line]
    addresses = {line[1].split(":")[0] for line in lines if line[3] == "0A"}
    assert addresses == {"0100007F"}

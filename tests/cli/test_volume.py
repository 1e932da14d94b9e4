"""`emberkeep volume`: image files in, their paths, and out again."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from emberkeep import assembly, config
from emberkeep.cli.main import main

IMAGE = b"image" * 1000


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The state directory of a service with the zones az1 and az2 that does not run."""
    directory = tmp_path / "state"
    directory.mkdir()
    assembly.prepare(config.load(directory))
    return directory


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "an image.raw"
    path.write_bytes(IMAGE)
    return path


def run(state: Path, command: str, *arguments: str | Path) -> Result:
    words = ["volume", command, "--state-dir", str(state), *map(str, arguments)]
    return CliRunner().invoke(main, words)


def output(state: Path, command: str, *arguments: str | Path) -> str:
    result = run(state, command, *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def refusal(state: Path, command: str, *arguments: str | Path) -> str:
    """What a command says that fails: one line, and exit code 2."""
    result = run(state, command, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    lines = [line for line in result.stderr.splitlines() if line.startswith("emberkeep: ")]
    assert len(lines) == 1
    return lines[0].removeprefix("emberkeep: ")


def bring_in(state: Path, image: Path, *options: str) -> str:
    return output(state, "import", "--availability-zone", "az1", *options, image)


def test_an_image_is_imported_found_and_exported(state: Path, image: Path, tmp_path: Path) -> None:
    volume_id = bring_in(state, image, "--name", "root")
    path = Path(output(state, "path", volume_id))
    assert path.stat().st_size == 1 << 30
    assert path.is_relative_to(state)
    destination = tmp_path / "out.raw"
    output(state, "export", volume_id, destination)
    with destination.open("rb") as file:
        assert file.read(len(IMAGE) + 1) == IMAGE + b"\0"


def test_the_attributes_that_a_backup_keeps_may_be_given(state: Path, image: Path) -> None:
    options = ("--bootable", "--property", "k=v=w", "--image-property", "os=linux", "--json")
    made = json.loads(bring_in(state, image, "--name", "root", *options))
    assert made == json.loads(output(state, "show", "--json", made["id"]))
    assert made["name"] == "root"
    assert made["metadata"] == {"k": "v=w"}
    assert made["image_metadata"] == {"os": "linux"}
    assert made["bootable"] is True
    assert "root" in output(state, "show", made["id"])


def test_a_reference_is_the_file_itself(state: Path, image: Path) -> None:
    volume_id = bring_in(state, image, "--reference")
    assert output(state, "path", volume_id) == str(image.resolve())


def test_volumes_are_listed(state: Path, image: Path) -> None:
    assert json.loads(output(state, "list", "--json")) == []
    ids = {bring_in(state, image, "--name", name) for name in ("one", "two")}
    assert {row["id"] for row in json.loads(output(state, "list", "--json"))} == ids
    assert "one" in output(state, "list")


def test_what_a_worker_is_to_do_is_asked_for(state: Path, image: Path) -> None:
    new = output(state, "create", "--availability-zone", "az2", "--size", "3", "--name", "n")
    made = json.loads(output(state, "show", "--json", new))
    assert (made["status"], made["size"], made["availability_zone"]) == ("creating", 3, "az2")
    volume_id = bring_in(state, image)
    output(state, "delete", volume_id)
    assert json.loads(output(state, "show", "--json", volume_id))["status"] == "deleting"


def test_what_goes_wrong_is_said_in_one_line(state: Path, image: Path, tmp_path: Path) -> None:
    zone = ("--availability-zone", "az1")
    missing = tmp_path / "missing"
    assert refusal(state, "import", *zone, missing) == f"{missing}: No such file or directory"
    assert "is neither a file nor a block device" in refusal(state, "import", *zone, tmp_path)
    unknown = refusal(state, "import", "--availability-zone", "az9", image)
    assert unknown == "Availability zone 'az9' is invalid."
    assert refusal(state, "path", "nothing") == "Volume nothing could not be found."
    volume_id = bring_in(state, image)
    assert f"{image} exists" in refusal(state, "export", volume_id, image)
    assert "emberkeep serve" in refusal(tmp_path / "elsewhere", "list")
    assert image.read_bytes() == IMAGE

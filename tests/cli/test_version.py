from click.testing import CliRunner

import emberkeep
from emberkeep.cli.main import main


def test_the_command_tells_its_version() -> None:
    assert emberkeep.__version__ in CliRunner().invoke(main, ["--version"]).output

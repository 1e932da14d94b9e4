"""Options that several commands take."""

from pathlib import Path

import click

STATE_DIR = Path("state")

state_dir = click.option(
    "--state-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=STATE_DIR,
    show_default=True,
    help="Directory that holds everything of the service.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")

"""How a command fails: one line that says what to do, and exit code 2."""

from typing import Any

import click

from emberkeep.config import ConfigurationError
from emberkeep.engine.errors import EngineError
from emberkeep.state import StateError
from emberkeep.stores.errors import StoreError
from emberkeep.supervisor import CannotListen
from emberkeep.volumes.errors import VolumeError

EXPECTED = (
    CannotListen,
    ConfigurationError,
    EngineError,
    OSError,
    StateError,
    StoreError,
    VolumeError,
)


class Failure(click.ClickException):
    """What was asked can't be done."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        click.echo(f"emberkeep: {self.message}", err=True, file=file)


class Commands(click.Group):
    """A group whose commands report what may go wrong as a `Failure`."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except EXPECTED as error:
            raise Failure(_one_line(error)) from error


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}"
    return " ".join(str(error).split())

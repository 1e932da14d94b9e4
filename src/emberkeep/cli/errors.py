"""How a command fails: one line that says what to do, and an exit code.

1: damage was found, or some of it failed; 2: it could not be done; 130: interrupted.
"""

from typing import Any

import click

from emberkeep.api.policies.file import PolicyError
from emberkeep.config import ConfigurationError
from emberkeep.engine.errors import DamagedObject, EngineError
from emberkeep.state import StateError
from emberkeep.stores.errors import StoreError
from emberkeep.supervisor import CannotListen
from emberkeep.volumes.errors import VolumeError

EXPECTED = (
    CannotListen,
    ConfigurationError,
    EngineError,
    OSError,
    PolicyError,
    StateError,
    StoreError,
    VolumeError,
)


class Failure(click.ClickException):
    """What was asked can't be done."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        click.echo(f"emberkeep: {self.message}", err=True, file=file)


class Trouble(Failure):
    """Damage was found, or some of it failed."""

    exit_code = 1


class Commands(click.Group):
    """A group whose commands report what may go wrong as a `Failure`."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except DamagedObject as error:
            raise Trouble(_one_line(error)) from error
        except EXPECTED as error:
            raise Failure(_one_line(error)) from error
        except KeyboardInterrupt:
            click.echo("emberkeep: interrupted", err=True)
            raise click.exceptions.Exit(130) from None


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}"
    return " ".join(str(error).split())

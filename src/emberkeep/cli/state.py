"""A state directory as the commands use it, beside a running service or without one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from emberkeep import assembly, config
from emberkeep.assembly import Parts
from emberkeep.state import StateError


@contextmanager
def open_state(state_dir: Path) -> Iterator[Parts]:
    """The parts of the service whose state directory this is, with all volume drivers.

    Raises `StateError` if no service ever ran there.
    """
    configuration = config.load(state_dir)
    if (
        configuration.database.startswith("sqlite:///")
        and not (state_dir / "emberkeep.sqlite").exists()
    ):
        raise StateError(f"{state_dir} holds no service yet; run: emberkeep serve")
    assembly.upgrade(configuration)
    parts = assembly.assemble(configuration, drivers=assembly.drivers(configuration))
    try:
        yield parts
    finally:
        parts.close()

"""`emberkeep key`: a life for the key outside of this machine, another key, and the end of one."""

from pathlib import Path
from typing import TextIO

import click

from emberkeep import assembly, config, state
from emberkeep.assembly import Parts
from emberkeep.cli import options, shown
from emberkeep.cli.errors import Commands, Failure, Trouble
from emberkeep.cli.state import open_state
from emberkeep.db import domains
from emberkeep.db.domains import Domain
from emberkeep.engine.keyfile import KeyFile
from emberkeep.engine.repository import DomainId, Repository, State


@click.group(cls=Commands)
def key() -> None:
    """Keep the key that all backups depend on, replace it, or destroy a project's."""


_passphrase_file = click.option(
    "--passphrase-file",
    type=click.File(),
    help="File whose first line is a passphrase for the exported text.",
)
_key_file = click.option(
    "--key-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="That of a bare repository, instead of a service's.",
)


@key.command("export")
@options.state_dir
@_key_file
@_passphrase_file
def export_key(state_dir: Path, key_file: Path | None, passphrase_file: TextIO | None) -> None:
    """Print the key as text that can be kept on paper; it carries a checksum."""
    keys = KeyFile.load(key_file or config.load(state_dir).key_file)
    click.echo(keys.export_text(_passphrase(passphrase_file)), nl=False)


@key.command("import")
@options.state_dir
@_key_file
@_passphrase_file
@click.argument("text", type=click.File())
def import_key(
    state_dir: Path, key_file: Path | None, passphrase_file: TextIO | None, text: TextIO
) -> None:
    """Make a key file from the exported TEXT (a file, or - for standard input).

    A key file that is there already is never replaced.
    """
    if key_file is None:
        key_file = config.load(state_dir).key_file
        state.prepare(state_dir)
    else:
        key_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    KeyFile.import_text(text.read(), key_file, _passphrase(passphrase_file))
    click.echo(f"imported into {key_file}")


@key.command()
@options.state_dir
def rotate(state_dir: Path) -> None:
    """Replace the key: wrap the keys of all zones' repositories with a new one.

    The service must be stopped.  Wherever this is interrupted, all backups can be read, and the
    same command goes on.  The data is not encrypted anew.
    """
    configuration = config.load(state_dir)
    path = configuration.key_file
    with open_state(state_dir) as parts, state.locked(state_dir):
        keys = KeyFile.begin_rotation(path)
        repositories = assembly.existing_repositories(configuration, parts.database, keys)
        with parts.database.reading() as tx:
            known = {
                repository.id: [DomainId(row.id) for row in domains.domains_of(tx, repository.id)]
                for repository in repositories
            }
            elsewhere = domains.repositories_with_domains(tx) - known.keys()
        wrapped = sum(
            repository.rewrap(keys.newest, domains=known[repository.id])
            for repository in repositories
        )
        if elsewhere:
            raise Trouble(
                f"no zone names the store of repository {', '.join(sorted(elsewhere))}, which the "
                "earlier key still opens, so it was kept beside the new one; name the store in "
                f"{config.FILE_NAME}, then repeat this"
            )
        KeyFile.end_rotation(path)
    click.echo(f"{wrapped} keys of {len(repositories)} repositories were wrapped with a new key")
    click.echo(
        "An exported key that you keep opens them no more. Keep the new one: "
        f"emberkeep key export --state-dir {state_dir}",
        err=True,
    )


@key.command()
@options.state_dir
@click.option("--project", required=True, metavar="ID", help="Whose key.")
@click.option("--container", metavar="LABEL", help="Only that of this container; else all.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def destroy(state_dir: Path, project: str, container: str | None, yes: bool) -> None:
    """Destroy a project's key: nobody can read its backups any more, for ever.

    At once, also if the service runs, and nothing else than what was asked.  Delete the backups
    afterwards to have their space back.
    """
    with open_state(state_dir) as parts:
        keys = KeyFile.load(parts.configuration.key_file)
        repositories = {
            repository.id: repository
            for repository in assembly.existing_repositories(
                parts.configuration, parts.database, keys
            )
        }
        rows = _domains(parts, project, container)
        reached = [row for row in rows if row.repository in repositories]
        if not rows:
            of_it = "" if container is None else f" under the label {container!r}"
            raise Failure(f"project {project} has no backups here{of_it}")
        count = sum(_backups(repositories[row.repository], DomainId(row.id)) for row in reached)
        if not yes and not shown.agreed(
            f"Make {count} backups of project {project} unreadable for ever?"
        ):
            raise Failure("nothing was destroyed")
        for row in reached:
            repositories[row.repository].destroy_keys(DomainId(row.id))
            with parts.database.writing() as tx:
                domains.release_label(tx, row.id)  # so the project's next backup has a new key
        if missed := {row.repository for row in rows} - repositories.keys():
            raise Trouble(
                f"no zone names the store of repository {', '.join(sorted(missed))}, so the "
                "project's key there was not destroyed"
            )
    click.echo(f"the key of project {project} was destroyed, for {count} backups")


def _domains(parts: Parts, project: str, container: str | None) -> list[Domain]:
    with parts.database.reading() as tx:
        return [
            row
            for repository in sorted(domains.repositories_with_domains(tx))
            for row in domains.domains_of(tx, repository)
            if row.project_id == project and container in (None, row.container)
        ]


def _backups(repository: Repository, domain: DomainId) -> int:
    states = repository.ledger.sessions(domain).values()
    return sum(state == State.COMMITTED for state in states)


def _passphrase(file: TextIO | None) -> str | None:
    return None if file is None else file.readline().rstrip("\n")

"""`emberkeep repo init` and `rebuild`: how a repository begins, and begins again."""

import json
from pathlib import Path

import click

from emberkeep.cli import options, shown
from emberkeep.cli.errors import Failure
from emberkeep.cli.repo import bare, service
from emberkeep.cli.repo.options import Where, bare_or_service, only_bare, only_service
from emberkeep.cli.repo.options import bare as bare_options
from emberkeep.engine.keyfile import KeyFile
from emberkeep.engine.repository import DomainId, Repository, Settled
from emberkeep.stores.base import Store
from emberkeep.stores.errors import ObjectNotFound
from emberkeep.stores.open import open_store


@click.command()
@bare_options
@options.as_json
def init(where: Where, as_json: bool) -> None:
    """Make a repository in an empty store, and the key file if there is none."""
    store = open_store(where.url)
    if _is_repository(store):
        raise Failure(f"{where.url} holds a repository already")
    new_key = not where.key_file.exists()
    if new_key:
        where.key_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        KeyFile.create(where.key_file)
    repository = Repository.create(store, KeyFile.load(where.key_file))
    bare.make(where, repository.id)
    if as_json:
        made = {"repository": repository.id, "url": where.url, "key_file": str(where.key_file)}
        click.echo(json.dumps(made))
        return
    click.echo(f"repository {repository.id} in {where.url}")
    if new_key:
        click.echo(
            "Backups are lost without their key. Keep a copy elsewhere now: "
            f"emberkeep key export --key-file {where.key_file}",
            err=True,
        )


def _is_repository(store: Store) -> bool:
    try:
        store.stat("format")
    except ObjectNotFound:
        return False
    return True


@click.command()
@bare_or_service
@click.option("--availability-zone", help="Only this zone of the service; else all of them.")
@click.option("--yes", is_flag=True, help="Do not ask whether nothing else uses the repository.")
@options.as_json
def rebuild(where: Where | Path, availability_zone: str | None, yes: bool, as_json: bool) -> None:
    """Make anew what was lost with a ledger or a database: take the store's word for everything.

    Of a bare repository: after its ledger was lost or put back to an older state, or to go on from
    another machine.  No other process may use the repository meanwhile, anywhere.

    Of a service: register the backups that the zones' stores hold and the database does not know.
    After a disaster: import the exported key into a new state directory, say in its emberkeep.conf
    where the stores are, then this.  Or when the database was put back to an older state.  Every
    service that uses the stores must have been stopped.
    """
    if isinstance(where, Path):
        only_bare(where, yes=yes)
        service.rebuild(where, availability_zone, as_json=as_json)
        return
    only_service(where, availability_zone=availability_zone)
    if not yes and not shown.agreed(
        "Does surely no other process use the repository, on no machine?"
    ):
        raise Failure("nothing was changed; end the others first")
    with (
        bare.rebuilding(where) as found,
        shown.count_bar("domains", quiet=as_json) as report,
    ):
        for domain in found.repository.domains():
            found.register(domain, bare.label(found.repository, domain))
        settled = found.repository.settle(progress=report)
    _tell(settled, as_json=as_json)


def _tell(settled: dict[DomainId, Settled], *, as_json: bool) -> None:
    """Raises `Exit` if something is broken."""
    whole = sum(len(domain.backups) for domain in settled.values())
    broken = {root: why for domain in settled.values() for root, why in domain.broken.items()}
    if as_json:
        click.echo(json.dumps({"backups": whole, "broken": broken}))
    else:
        click.echo(f"{whole} backups, {len(broken)} of them broken")
        for root, why in broken.items():
            click.echo(f"emberkeep: backup {root}: {why}", err=True)
    if broken:
        raise click.exceptions.Exit(1)

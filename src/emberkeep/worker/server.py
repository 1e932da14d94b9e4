"""The embedded worker process."""

import contextlib
import logging
import signal
import threading
from collections.abc import Mapping, Sequence

from emberkeep import assembly, notifications
from emberkeep.assembly import Parts
from emberkeep.backups.maintenance import Schedule
from emberkeep.backups.notifications import Notifications, Pace
from emberkeep.config import Configuration, Zone
from emberkeep.engine.repository import Settings
from emberkeep.stores.errors import StoreError
from emberkeep.volumes.drivers.files import FilesDriver
from emberkeep.worker.process import Worker
from emberkeep.worker.site import Site

_log = logging.getLogger(__name__)


LOOK_SECONDS = 10  # between looks for a store that did not answer


def run(configuration: Configuration, *, woken: int) -> None:
    """Work until SIGTERM.  `woken` is a descriptor that is readable when there are new jobs.

    Zones whose stores do not answer are waited for; when one does, the worker begins anew with it.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    drivers = assembly.drivers(configuration)
    ended = threading.Event()
    workers: list[Worker] = []

    def end(_number: int, _frame: object) -> None:
        ended.set()
        for worker in workers:
            worker.stop()

    signal.signal(signal.SIGTERM, end)
    with contextlib.ExitStack() as until_the_end:
        told = until_the_end.enter_context(notifications.opened(configuration))
        parts = assembly.assemble(configuration, drivers=drivers, notifications=told)
        until_the_end.callback(parts.close)
        while not ended.is_set():
            silent: list[Zone] = []
            worker = _worker(parts, drivers, silent, told)
            workers[:] = [worker]
            if ended.is_set():
                worker.stop()
            watch = threading.Thread(target=_wait_for, args=(silent, worker), name="silent stores")
            watch.start()
            worker.serve(woken)
            watch.join()


def _wait_for(silent: Sequence[Zone], worker: Worker) -> None:
    """Stop the worker when one of the zones' stores answers."""
    while silent and not worker.stopped.wait(LOOK_SECONDS):
        if any(assembly.answers(zone) for zone in silent):
            worker.stop()


def _worker(
    parts: Parts,
    drivers: Mapping[str, FilesDriver],
    silent: list[Zone],
    told: Notifications,
) -> Worker:
    """A worker for all zones but those whose stores do not answer, which become `silent`."""
    configuration = parts.configuration

    def out_of_reach(zone: Zone, error: StoreError) -> None:
        _log.error("zone %s is not served until its store answers: %s", zone.name, error)
        silent.append(zone)

    by_zone = assembly.open_repositories(configuration, parts.database, out_of_reach=out_of_reach)
    hosts = {zone.name: f"{configuration.host}@{zone.name}" for zone in configuration.zones}
    site = Site(
        database=parts.database,
        queue=parts.queue,
        volumes=parts.volumes,
        local=parts.volumes,
        repositories={repository.id: repository for repository in by_zone.values()},
        zone_repositories={zone: repository.id for zone, repository in by_zone.items()},
        hosts={zone: host for zone, host in hosts.items() if zone in by_zone},
        settings=Settings(
            compression_level=configuration.backups.compression_level,
            memory_budget=configuration.backups.memory_budget,
        ),
        schedule=Schedule(
            collect_every=configuration.maintenance.collect_every,
            verify_every=configuration.maintenance.verify_every,
            verify_depth=configuration.maintenance.verify_depth,
            verify_share=configuration.maintenance.verify_share,
        ),
        message_ttl=configuration.message_ttl,
        notifications=told,
        pace=Pace(configuration.notifications.objects, configuration.notifications.seconds),
    )
    return Worker(
        site,
        name=configuration.host,
        zones_with_volumes=[zone.name for zone in configuration.zones if zone.volumes],
        backends=list(drivers),
        silent=[hosts[zone.name] for zone in silent],
    )

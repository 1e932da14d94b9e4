"""The embedded worker process."""

import logging
import signal

from emberkeep import assembly
from emberkeep.backups.maintenance import Schedule
from emberkeep.config import Configuration
from emberkeep.engine.repository import Settings
from emberkeep.worker.process import Worker
from emberkeep.worker.site import Site


def run(configuration: Configuration, *, woken: int) -> None:
    """Work until SIGTERM.  `woken` is a descriptor that is readable when there are new jobs."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    drivers = assembly.drivers(configuration)
    parts = assembly.assemble(configuration, drivers=drivers)
    by_zone = assembly.open_repositories(configuration, parts.database)
    site = Site(
        database=parts.database,
        queue=parts.queue,
        volumes=parts.volumes,
        local=parts.volumes,
        repositories={repository.id: repository for repository in by_zone.values()},
        zone_repositories={zone: repository.id for zone, repository in by_zone.items()},
        hosts={zone: f"{configuration.host}@{zone}" for zone in by_zone},
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
    )
    worker = Worker(
        site,
        name=configuration.host,
        zones_with_volumes=[zone.name for zone in configuration.zones if zone.volumes],
        backends=list(drivers),
    )
    signal.signal(signal.SIGTERM, lambda _number, _frame: worker.stop())
    try:
        worker.serve(woken)
    finally:
        parts.close()

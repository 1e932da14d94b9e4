"""The seam to volumes: how a volume is reserved with a job, and given back at its end.

Where the volume service joins our transactions everything is one transaction.  Another one is
called outside of any, so each call is announced on the job first, and repeated by whoever finds the
announcement if nobody lived to finish.

Invariants
* a volume is never left reserved by a job that nobody will run;
* no transaction is open while another service is called.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from emberkeep.db.database import Database, Transaction
from emberkeep.jobs.queue import Job, NewJob, Queue
from emberkeep.volumes.errors import VolumesUnavailable
from emberkeep.volumes.service import Attributes, Outcome, Reservation, VolumeService

_RELEASING = "releasing"
_PATIENCE = 5.0  # seconds until a volume service that gave no answer is asked again


@dataclass(slots=True)
class Opening:
    """A job that is being made: its transaction and what it reserved."""

    tx: Transaction
    job_id: str
    reservation: Reservation
    abandoned: bool = False


class Seam:
    """Reserves and releases.  May be used from many threads."""

    def __init__(self, database: Database, queue: Queue, volumes: VolumeService) -> None:
        self._database = database
        self._queue = queue
        self._volumes = volumes

    @contextlib.contextmanager
    def looking(self) -> Iterator[Transaction | None]:
        """What a look at volumes is given: a transaction, if the service joins ours."""
        if self._volumes.joins_transactions:
            with self._database.reading() as tx:
                yield tx
        else:
            yield None

    @contextlib.contextmanager
    def opening(
        self, job: NewJob, job_id: str, take: Callable[[Transaction | None], Reservation]
    ) -> Iterator[Opening]:
        """Reserve by `take`, then write in the block; if it raises, all is as it was.

        The block ends with `submit` or `abandon`.  Raises what `take` raises.
        """
        if self._volumes.joins_transactions:
            with self._database.writing() as tx:
                yield Opening(tx, job_id, take(tx))
            return
        with self._database.writing() as tx:
            self._queue.enqueue(tx, job, job_id=job_id, reserving=True)
        try:
            reservation = take(None)
            with self._database.writing() as tx:
                opening = Opening(tx, job_id, reservation)
                yield opening
        except BaseException:
            self.give_up(job_id)
            raise
        if opening.abandoned:
            self.give_up(job_id)

    def submit(self, opening: Opening, job: NewJob) -> None:
        """Let the workers have the job, now that all is known of it."""
        if self._volumes.joins_transactions:
            self._queue.enqueue(opening.tx, job, job_id=opening.job_id)
        elif not self._queue.ready(opening.tx, opening.job_id, job):
            raise VolumesUnavailable("the volume service took too long to reserve the volume")

    def abandon(self, opening: Opening) -> None:
        """There will be no job; what else the block wrote stays."""
        opening.abandoned = True
        if self._volumes.joins_transactions:
            self._volumes.release(opening.job_id, Outcome.ABANDONED, tx=opening.tx)

    def give_up(self, job_id: str) -> None:
        """Give back what a job that never came to be may have reserved, and forget it.

        One that came to be meanwhile is left alone.  If the volume service gives no answer, the
        job stays, and this is tried again later.
        """
        with self._database.writing() as tx:
            if not self._queue.close(tx, job_id):
                return
        with contextlib.suppress(VolumesUnavailable):
            self._release(job_id, Outcome.ABANDONED)
            with self._database.writing() as tx:
                self._queue.drop(tx, job_id)

    def end(
        self,
        job: Job,
        write: Callable[[Transaction], tuple[Outcome, Attributes | None]],
        *,
        done: int | None = None,
        stored: int | None = None,
        error: str | None = None,
    ) -> None:
        """End a job: `write` its result, give the volume back by what it returns.

        What was written and announced once, by whatever attempt, is not written again.
        Raises `LeaseLost`, and what `write` raises; then nothing was written.
        """
        with self._database.writing() as tx:
            held = self._queue.hold(tx, job)
            announced = held.checkpoint.get(_RELEASING)
            if announced is None:
                outcome, restored = write(tx)
                if self._volumes.joins_transactions:
                    self._volumes.release(job.id, outcome, restored=restored, tx=tx)
                    self._end(tx, job, done, stored, error)
                    return
                announced = {
                    "outcome": outcome,
                    "restored": restored and asdict(restored),
                    "progress": [done, stored],
                    "error": error,
                }
                self._queue.checkpoint(tx, job, {**held.checkpoint, _RELEASING: announced})
        self._finish_release(job, announced)

    def resume(self, job: Job) -> bool:
        """Go on with an `end` that an earlier attempt did not finish; False if there is none."""
        announced = job.checkpoint.get(_RELEASING)
        if announced is None:
            return False
        self._finish_release(job, announced)
        return True

    def _finish_release(self, job: Job, announced: dict[str, Any]) -> None:
        restored = announced["restored"]
        try:
            self._release(
                job.id,
                Outcome(announced["outcome"]),
                restored=None if restored is None else Attributes(**restored),
            )
        except VolumesUnavailable:
            with self._database.writing() as tx:
                self._queue.hand_back(tx, self._queue.hold(tx, job), delay=_PATIENCE)
            return
        with self._database.writing() as tx:
            self._queue.hold(tx, job)
            done, stored = announced["progress"]
            self._end(tx, job, done, stored, announced["error"])

    def _release(self, job_id: str, outcome: Outcome, restored: Attributes | None = None) -> None:
        if self._volumes.joins_transactions:
            with self._database.writing() as tx:
                self._volumes.release(job_id, outcome, restored=restored, tx=tx)
        else:
            self._volumes.release(job_id, outcome, restored=restored, tx=None)

    def _end(
        self, tx: Transaction, job: Job, done: int | None, stored: int | None, error: str | None
    ) -> None:
        if error is None:
            self._queue.finish(tx, job, done=done, stored=stored)
        else:
            self._queue.fail(tx, job, error)

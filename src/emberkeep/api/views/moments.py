"""Times as the API writes them: UTC, six digits of a second, no zone."""

from datetime import datetime


def moment(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat(timespec="microseconds")

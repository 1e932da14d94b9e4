"""What the queue may raise."""


class LeaseLost(Exception):
    """The job is not this attempt's any more: another worker has it, or it ended."""


class JobCancelled(Exception):
    """Somebody asked for the job to stop."""

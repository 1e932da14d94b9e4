"""Full, unchanged and 1 %-changed backup, and restores, of a 4 GiB image, on a directory.

Each step runs in a process of its own; wall and CPU seconds, and the peak of its memory above that
of a process that only imported the engine, are the operating system's own accounting.
"""

from rich.console import Console

MIB = 1 << 20
console = Console(highlight=False)

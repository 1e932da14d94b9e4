"""The ids of domains, sessions and roots: 128 random bits, written as 32 lower-case hex digits."""

import re
from typing import NewType

DomainId = NewType("DomainId", str)
SessionId = NewType("SessionId", str)
RootId = NewType("RootId", str)  # the id of the session that wrote it

ID_BYTES = 16
ID = re.compile(r"[0-9a-f]{32}")

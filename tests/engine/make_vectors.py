"""Makes the fixed test vectors and the examples in docs/format.md, the same ones in every run.

`PYTHONPATH=src:. python -m tests.engine.make_vectors` writes those vectors that are not there and
leaves all else alone.  With `--anew` it replaces everything, which is right only while no release
has written the format: whatever was written once must be readable for ever.

What zstd made smaller may differ from version to version of it: chunks that shall be the same for
ever can't be compressed, and the rest is compared by reading it.
"""

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

from tests.engine import examples
from tests.engine.life import CHUNK, live
from tests.engine.samples import (
    domain_key,
    format_object,
    inner_node,
    leaf,
    metadata_key,
    root,
    segment,
)

from emberkeep.testing.engine import a_key_manager, repeatable

VECTORS = Path(__file__).with_name("vectors")
DOCUMENT = Path(__file__).parents[2] / "docs" / "format.md"
PASSPHRASE = "correct horse battery staple"


def repository() -> dict[str, object]:
    """All objects of the repository of `life`, and the SHA-256 of what its roots restore to."""
    lived = live(repeatable("incompressible")(CHUNK))
    backups: dict[str, dict[str, str]] = {}
    for (domain, root_id), image in lived.images.items():
        backups.setdefault(domain, {})[root_id] = hashlib.sha256(image).hexdigest()
    domain, session, image = lived.unfinished
    return {
        "key": _key().hex(),
        "backups": backups,
        "unfinished": [domain, session, hashlib.sha256(image).hexdigest()],
        "objects": {name: data.hex() for name, data in lived.objects.items()},
    }


def _key() -> bytes:
    return repeatable("key")(32)  # the one of `a_key_manager`


def _hex(data: bytes) -> str:
    """32 bytes a line."""
    text = data.hex()
    return "".join(text[at : at + 64] + "\n" for at in range(0, len(text), 64))


FILES: dict[str, Callable[[], str]] = {
    "format.hex": lambda: _hex(format_object()),
    "metadata-key.hex": lambda: _hex(metadata_key()),
    "domain-key.hex": lambda: _hex(domain_key()),
    "leaf.hex": lambda: _hex(leaf().encode()),
    "inner-node.hex": lambda: _hex(inner_node().encode()),
    "segment.hex": lambda: _hex(segment()),
    "root.hex": lambda: _hex(root()),
    "key.txt": lambda: a_key_manager().export_text(),
    "key-under-passphrase.txt": lambda: a_key_manager().export_text(PASSPHRASE),
    "repository.json": lambda: json.dumps(repository(), indent=1) + "\n",
}


def main() -> None:
    anew = sys.argv[1:] == ["--anew"]
    VECTORS.mkdir(exist_ok=True)
    for name, make in FILES.items():
        path = VECTORS / name
        if path.exists() and not anew:
            print(f"{name}: kept")
        else:
            path.write_text(make(), encoding="utf-8")
            print(f"{name}: written")
    if anew:
        DOCUMENT.write_text(examples.rewritten(DOCUMENT.read_text(encoding="utf-8")), "utf-8")
        print(f"{DOCUMENT.name}: its examples are written")


if __name__ == "__main__":
    main()

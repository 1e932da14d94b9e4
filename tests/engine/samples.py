"""One object of each kind, with keys and ids that are easy to tell, for vectors and examples."""

import numpy as np

from emberkeep.engine import blockmap, keys, layout, roots
from emberkeep.engine.blockmap import Node
from emberkeep.engine.ids import DomainId, RootId, SessionId
from emberkeep.engine.keys import DomainKeys, MetadataKey
from emberkeep.engine.layout import Codec, Pointer, SegmentId
from emberkeep.engine.repository import Repository
from emberkeep.engine.roots import Layout
from emberkeep.engine.segments import SegmentBuilder
from emberkeep.stores.memory import MemoryStore
from emberkeep.testing.engine import a_key_manager, repeatable

CHUNK = 32 << 10

REPOSITORY = bytes(range(16)).hex()
DOMAIN = DomainId(bytes(range(16, 32)).hex())
SESSION = SessionId(bytes(range(32, 48)).hex())
OTHER_SESSION = SessionId(bytes(range(48, 64)).hex())
SEGMENT = SegmentId(SESSION, 5)
METADATA_KEY = MetadataKey(bytes(range(64, 96)))
DATA_KEY, ID_KEY = bytes(range(96, 128)), bytes(range(128, 160))
DOMAIN_KEYS = DomainKeys(DOMAIN, {7: DATA_KEY}, ID_KEY)
VOLUME = "4d2f8e0a-9b3c-4f5e-8a7d-1c6b5e4f3a2d"
CHUNKS = {3: repeatable("chunk 3")(300), 900: repeatable("chunk 900")(200)}
TOP = Pointer(SegmentId(OTHER_SESSION, 1), 6, 2, 4096, 512)


def _created() -> MemoryStore:
    """A new repository whose id and key are drawn from "format"."""
    store = MemoryStore()
    Repository.create(store, a_key_manager(), random=repeatable("format"))
    return store


def format_object() -> bytes:
    """`format`."""
    return _created().get(layout.FORMAT)


def metadata_key() -> bytes:
    """The same repository's metadata key, wrapped."""
    store = _created()
    (item,) = store.list("key/")
    return store.get(item.name)


def domain_key() -> bytes:
    """A domain's 7th data key and its id key, wrapped."""
    plain = keys.encode_domain_key(DATA_KEY, ID_KEY)
    context = keys.domain_key_context(REPOSITORY, DOMAIN, 7)
    return a_key_manager().wrap(plain, domain=DOMAIN, context=context)


def leaf() -> Node:
    """A leaf whose chunks lie in three segments, not in their order."""
    entries, ids = blockmap.no_entries(), np.zeros((blockmap.FANOUT, keys.ID_SIZE), "u1")
    places = {
        0: Pointer(SEGMENT, 7, 0, 64, 317),
        1: Pointer(SEGMENT, 7, 1, 381, 217),
        9: Pointer(SegmentId(OTHER_SESSION, 2**31), 6, 65_000, 2**33, 65_553),
        254: Pointer(SEGMENT, 7, 4, 1000, 17),
        255: Pointer(SegmentId(OTHER_SESSION, 0), 1, 3, 70, 40),
    }
    for slot, place in places.items():
        entries[slot] = blockmap.entry(place)
        ids[slot] = np.frombuffer(DOMAIN_KEYS.identify(b"chunk %d" % slot), "u1")
    return Node(1, entries, None, DOMAIN_KEYS.identify(ids.tobytes()))


def inner_node() -> Node:
    """A node above the leaf and another."""
    entries, digests = blockmap.no_entries(), np.zeros((blockmap.FANOUT, keys.ID_SIZE), "u1")
    entries[0], entries[17] = blockmap.entry(Pointer(SEGMENT, 7, 2, 598, 300)), blockmap.entry(TOP)
    digests[0] = np.frombuffer(leaf().digest, "u1")
    digests[17] = np.frombuffer(DOMAIN_KEYS.identify(b"another leaf"), "u1")
    return Node(2, entries, digests, DOMAIN_KEYS.identify(digests.tobytes()))


def segment() -> bytes:
    """Two chunks, the two nodes, the ids record, footer and trailer."""
    builder = SegmentBuilder(
        DOMAIN, SEGMENT, size=1 << 20, key=7, volume=VOLUME,
        record_cipher=DOMAIN_KEYS.record_cipher(7, SESSION),
        node_cipher=METADATA_KEY.node_cipher(DOMAIN, SESSION),
    )  # fmt: skip
    for number, data in CHUNKS.items():
        builder.add_chunk(number, DOMAIN_KEYS.identify(data), Codec.RAW, data)
    for node in (leaf(), inner_node()):
        builder.add_node(Codec.RAW, node.encode())
    return bytes(builder.finish(METADATA_KEY, repeatable("segment")))


def root() -> bytes:
    """A root with a base, a top, a change id and a description."""
    part = Layout(
        domain=DOMAIN, root=RootId(SESSION), key=7, size=10_000_000, chunk_size=CHUNK, height=2,
        top=TOP, base=RootId(OTHER_SESSION), sessions=(SESSION, OTHER_SESSION),
        counters={"chunks": 5, "new_chunks": 2, "segments": 1, "stored_bytes": 1234},
    )  # fmt: skip
    return roots.encode(
        part,
        content_digest=inner_node().digest,
        change_id="snap-1",
        description={"volume_id": VOLUME, "name": "день"},
        metadata_key=METADATA_KEY,
        domain_keys=DOMAIN_KEYS,
        random=repeatable("root"),
    )

"""The worked examples of docs/format.md: written by the engine, checked by test_format_examples.

An example is a fenced block, opened by ```` ```example NAME ````, of lines `label  value`; a value
is hexadecimal or text, and goes on in the lines below that begin with a space.
"""

import json
import re
import textwrap
from collections.abc import Callable

import numpy as np
import zstandard
from tests.engine import samples
from tests.engine.samples import DATA_KEY, DOMAIN, DOMAIN_KEYS, ID_KEY, METADATA_KEY, SESSION

from emberkeep.engine import blockmap, keys, layout, roots, segments
from emberkeep.engine.blockmap import Node
from emberkeep.engine.checkpoints import Counters, Origin, Saved, put
from emberkeep.engine.hints import Hints
from emberkeep.engine.ids import RootId
from emberkeep.engine.layout import Codec, Kind, Pointer, SegmentId
from emberkeep.engine.roots import Layout
from emberkeep.stores.memory import MemoryStore
from emberkeep.testing.engine import a_key_manager, repeatable

Example = dict[str, str]
GENERATION = "7-00c0ffee"
SEGMENT = SegmentId(SESSION, 5)
TEXT = b"emberkeep " * 10
_FENCE = re.compile(
    r"^```example (?P<name>[a-z0-9-]+)\n(?P<body>.*?)^```$", re.DOTALL | re.MULTILINE
)
_LABEL_WIDTH = 16


def found(document: str) -> dict[str, Example]:
    """The examples in the document, by their names."""
    return {match["name"]: _parsed(match["body"]) for match in _FENCE.finditer(document)}


def rewritten(document: str) -> str:
    """The document with its examples made anew."""
    return _FENCE.sub(lambda match: _fence(match["name"], EXAMPLES[match["name"]]()), document)


def _parsed(body: str) -> Example:
    example: Example = {}
    label = ""
    for line in body.splitlines():
        if line.startswith(" "):
            example[label] += ("" if _is_hex(example[label]) else " ") + line.strip()
        else:
            label, value = re.split("  +", line, maxsplit=1)
            example[label] = value
    return example


def _is_hex(value: str) -> bool:
    return re.fullmatch("[0-9a-f]*", value) is not None


def _fence(name: str, example: Example) -> str:
    lines = []
    for label, value in example.items():
        if _is_hex(value):
            pieces = [value[at : at + 64] for at in range(0, len(value), 64)]
        else:
            pieces = textwrap.wrap(value, 80, break_long_words=False, break_on_hyphens=False)
        lines.append(f"{label:{_LABEL_WIDTH}}{pieces[0]}")
        lines += [" " * _LABEL_WIDTH + piece for piece in pieces[1:]]
    return "\n".join((f"```example {name}", *lines, "```"))


def _keys() -> Example:
    name = layout.gens_name(DOMAIN, GENERATION, SESSION)
    return {
        "metadata key": METADATA_KEY.key.hex(),
        "data key 7": DATA_KEY.hex(),
        "id key": ID_KEY.hex(),
        "domain": DOMAIN,
        "session": SESSION,
        "node": keys.derive(METADATA_KEY.key, "node", bytes.fromhex(DOMAIN + SESSION)).hex(),
        "footer, 0": METADATA_KEY.footer_key(DOMAIN, SESSION, 5, "0").hex(),
        "footer, 7": METADATA_KEY.footer_key(DOMAIN, SESSION, 5, GENERATION).hex(),
        "layout": METADATA_KEY.layout_key(DOMAIN, SESSION).hex(),
        "object": METADATA_KEY.object_key(name).hex(),
        "format": keys.derive(METADATA_KEY.key, "format").hex(),
        "record": keys.derive(DATA_KEY, "record", bytes.fromhex(DOMAIN + SESSION)).hex(),
        "description": DOMAIN_KEYS.description_key(7, SESSION).hex(),
        "identify": DOMAIN_KEYS.identify(b"emberkeep").hex(),
    }


def _wrapping() -> Example:
    wrapped = samples.domain_key()
    context = keys.domain_key_context(samples.REPOSITORY, DOMAIN, 7)
    plain = a_key_manager().unwrap(wrapped, domain=DOMAIN, context=context)
    return {
        "key": repeatable("key")(32).hex(),
        "context": context.decode(),
        "plain": plain.decode(),
        "wrapped": wrapped.hex(),
    }


def _destroyed() -> Example:
    name = layout.destroyed_name(DOMAIN)
    sealed = keys.seal(METADATA_KEY.object_key(name), b"", repeatable("destroyed example"))
    return {"name": name, "object": sealed.hex()}


def _format() -> Example:
    content = json.loads(samples.format_object())
    return {
        "key": repeatable("key")(32).hex(),
        "object": json.dumps(content),
        "key's name": f"{layout.metadata_key_prefix(content['repository'])}1",
        "key's object": samples.metadata_key().hex(),
    }


def _record(codec: Codec, data: bytes, index: int) -> bytes:
    nonce = keys.record_nonce(SEGMENT.seq, index)
    cipher = DOMAIN_KEYS.record_cipher(7, SESSION)
    return bytes((codec,)) + cipher.encrypt(nonce, data, bytes((Kind.CHUNK, codec)))


def _records() -> Example:
    return {
        "content": TEXT.hex(),
        "nonce, 2": keys.record_nonce(SEGMENT.seq, 2).hex(),
        "stored, 2": _record(Codec.RAW, TEXT, 2).hex(),
        "zstd frame": zstandard.ZstdCompressor().compress(TEXT).hex(),
        "nonce, 3": keys.record_nonce(SEGMENT.seq, 3).hex(),
        "stored, 3": _record(Codec.ZSTD, zstandard.ZstdCompressor().compress(TEXT), 3).hex(),
    }


def _ids() -> Example:
    chunks = [
        (0, 3, DOMAIN_KEYS.identify(b"one")),
        (1, 900, DOMAIN_KEYS.identify(b"two")),
    ]
    return {"content": segments.encode_ids(chunks).hex()}


def _segment() -> Example:
    builder = segments.SegmentBuilder(
        DOMAIN, SEGMENT, size=1 << 20, key=7, volume="vol-1",
        record_cipher=DOMAIN_KEYS.record_cipher(7, SESSION),
        node_cipher=METADATA_KEY.node_cipher(DOMAIN, SESSION),
    )  # fmt: skip
    builder.add_chunk(3, DOMAIN_KEYS.identify(TEXT), Codec.RAW, TEXT)
    builder.add_node(Codec.RAW, _small_leaf().encode())
    data = bytes(builder.finish(METADATA_KEY, repeatable("segment example")))
    end = len(data) - layout.trailer_length(data)
    sealed, trailer = data[end:-16], data[-16:]
    footer_key = METADATA_KEY.footer_key(DOMAIN, SESSION, 5, "0")
    frame = keys.unseal(footer_key, sealed, "footer")
    return {
        "name": layout.segment_name(DOMAIN, SEGMENT),
        "header": data[:64].hex(),
        "records": data[64:end].hex(),
        "footer": zstandard.ZstdDecompressor().decompress(frame).hex(),
        "sealed footer": sealed.hex(),
        "trailer": trailer.hex(),
    }


def _small_leaf() -> Node:
    """Chunk 3, which is record 0 of the segment."""
    entries, ids = blockmap.no_entries(), bytearray(256 * 16)
    entries[3] = blockmap.entry(Pointer(SEGMENT, 7, 0, 64, 117))
    ids[48:64] = DOMAIN_KEYS.identify(TEXT)
    return Node(1, entries, None, DOMAIN_KEYS.identify(bytes(ids)))


def _leaf() -> Example:
    return {
        "content": samples.leaf().encode().hex(),
        "slot 0": "20212223…, key 7, seq 5, index 0, offset 64, length 317",
        "slot 1": "20212223…, key 7, seq 5, index 1, offset 381, length 217",
        "slot 9": "30313233…, key 6, seq 2147483648, index 65000, offset 8589934592, length 65553",
        "slot 254": "20212223…, key 7, seq 5, index 4, offset 1000, length 17",
        "slot 255": "30313233…, key 1, seq 0, index 3, offset 70, length 40",
    }


def _inner_node() -> Example:
    return {
        "content": samples.inner_node().encode().hex(),
        "slot 0": "20212223…, key 7, seq 5, index 2, offset 598, length 300",
        "slot 17": "30313233…, key 6, seq 1, index 2, offset 4096, length 512",
    }


def _root() -> Example:
    part = Layout(
        domain=DOMAIN, root=RootId(SESSION), key=7, size=10_000_000, chunk_size=1 << 15, height=2,
        top=samples.TOP, base=None, sessions=(SESSION, samples.OTHER_SESSION),
        counters={"chunks": 5, "new_chunks": 2, "segments": 1, "stored_bytes": 1234},
    )  # fmt: skip
    data = roots.encode(
        part, content_digest=samples.inner_node().digest, change_id="snap-1",
        description={"name": "день"}, metadata_key=METADATA_KEY, domain_keys=DOMAIN_KEYS,
        random=repeatable("root example"),
    )  # fmt: skip
    length = int.from_bytes(data[12:16], "little")
    key = METADATA_KEY.layout_key(DOMAIN, SESSION)
    plain = keys.unseal(key, data[16 : 16 + length], "layout")
    described = DOMAIN_KEYS.description_key(7, SESSION)
    description = keys.unseal(described, data[20 + length : -4], "description")
    return {
        "name": layout.root_name(DOMAIN, RootId(SESSION)),
        "layout": json.dumps(json.loads(plain)),
        "description": json.dumps(json.loads(description)),
        "object": data.hex(),
    }


def _sealed(name: str, content: object) -> Example:
    plain = json.dumps(content)
    sealed = keys.seal(METADATA_KEY.object_key(name), plain.encode(), repeatable(name))
    return {"name": name, "plain": plain, "object": sealed.hex()}


def _gens() -> Example:
    name = layout.gens_name(DOMAIN, GENERATION, SESSION)
    return _sealed(name, {"00000000": "0", "00000005": GENERATION})


def _checkpoint() -> Example:
    store, draw = MemoryStore(), repeatable("checkpoint example")
    entries, digests = blockmap.no_entries(), np.zeros((blockmap.FANOUT, keys.ID_SIZE), "u1")
    node = samples.inner_node()
    assert node.digests is not None
    entries[0], digests[0] = node.entries[0], node.digests[0]
    state = blockmap.MapState(
        ((0, Node(2, entries, digests, blockmap.ZERO_DIGEST)),), None, (SESSION,)
    )
    origin = Origin("snap-1", None, 10_000_000, 1 << 15)
    saved = Saved(
        origin, 1, state, Counters(5, 2, 1, 1234),
        pins=(samples.OTHER_SESSION,), samples=_some_hints(),
    )  # fmt: skip
    put(store, METADATA_KEY, DOMAIN, SESSION, 1, saved, draw)
    (item,) = store.list("")
    data = store.get(item.name)
    plain = keys.unseal(METADATA_KEY.object_key(item.name), data, item.name)
    return {"name": item.name, "plain": plain.decode(), "object": data.hex()}


def _some_hints() -> bytes:
    """Of two sessions; the ids are made up."""
    return Hints(
        (samples.OTHER_SESSION, SESSION),
        np.array([0x0001020304050607, 0x01FFEEDDCCBBAA99], "u8"),
        np.array([1, 0], "u4"),
        np.array([5, 2], "u4"),
    ).encode()


def _hints() -> Example:
    name, plain = layout.hints_name(DOMAIN, SESSION, 1), _some_hints()
    sealed = keys.seal(METADATA_KEY.object_key(name), plain, repeatable("hints example"))
    return {
        "name": name,
        "plain": plain.hex(),
        "id 00010203…": "20212223…, seq 5",
        "id 01ffeedd…": "30313233…, seq 2",
        "object": sealed.hex(),
    }


def _bad() -> Example:
    return _sealed(layout.bad_name(DOMAIN, SEGMENT, "0badf00d"), [0, 4])


def _key_text() -> Example:
    return {
        "key": repeatable("key")(32).hex(),
        "text": " ".join(a_key_manager().export_text().split("\n")).strip(),
    }


EXAMPLES: dict[str, Callable[[], Example]] = {
    "keys": _keys,
    "wrapping": _wrapping,
    "destroyed": _destroyed,
    "format": _format,
    "records": _records,
    "ids": _ids,
    "segment": _segment,
    "leaf": _leaf,
    "inner-node": _inner_node,
    "root": _root,
    "gens": _gens,
    "checkpoint": _checkpoint,
    "bad": _bad,
    "hints": _hints,
    "key-text": _key_text,
}

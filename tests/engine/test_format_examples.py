"""Every example in docs/format.md is what the document says, by a reader made from the document."""

import base64
import hashlib
import hmac
import json
import re
import struct

import google_crc32c
import pytest
import zstandard
from cryptography.exceptions import InvalidTag
from tests.engine import examples
from tests.engine.make_vectors import DOCUMENT
from tests.engine.plain_reader import (
    CHUNK,
    IDS,
    NODE,
    PlainDomain,
    PlainRepository,
    derive,
    identify,
    open_record,
    parse_footer,
    parse_hints,
    parse_ids,
    parse_node,
    unseal,
)

from emberkeep.testing.engine import a_key_manager

FOUND = examples.found(DOCUMENT.read_text(encoding="utf-8"))
KEYS = {label: bytes.fromhex(value) for label, value in FOUND["keys"].items()}
METADATA_KEY, DATA_KEY, ID_KEY = KEYS["metadata key"], KEYS["data key 7"], KEYS["id key"]
DOMAIN, SESSION = KEYS["domain"].hex(), KEYS["session"].hex()
IDS_OF_BOTH = KEYS["domain"] + KEYS["session"]
CONTENT = bytes.fromhex(FOUND["records"]["content"])


def value(example: str, label: str) -> bytes:
    return bytes.fromhex(FOUND[example][label])


def test_the_document_has_all_examples() -> None:
    assert FOUND.keys() == examples.EXAMPLES.keys()
    assert all(all(example.values()) for example in FOUND.values())


def test_keys_are_derived() -> None:
    seq = struct.pack(">Q", 5)
    assert derive(METADATA_KEY, b"node", IDS_OF_BOTH) == KEYS["node"]
    footer = derive(METADATA_KEY, b"seal/footer", IDS_OF_BOTH + seq + b"0")
    assert footer == KEYS["footer, 0"]
    footer = derive(METADATA_KEY, b"seal/footer", IDS_OF_BOTH + seq + b"7-00c0ffee")
    assert footer == KEYS["footer, 7"]
    assert derive(METADATA_KEY, b"seal/layout", IDS_OF_BOTH) == KEYS["layout"]
    name = FOUND["gens"]["name"].encode()
    assert derive(METADATA_KEY, b"seal/object", name) == KEYS["object"]
    assert derive(METADATA_KEY, b"format") == KEYS["format"]
    assert derive(DATA_KEY, b"record", IDS_OF_BOTH) == KEYS["record"]
    assert derive(DATA_KEY, b"seal/description", IDS_OF_BOTH) == KEYS["description"]
    assert identify(ID_KEY, b"emberkeep") == KEYS["identify"]


def test_a_domain_key_is_unwrapped() -> None:
    context = FOUND["wrapping"]["context"]
    plain = unseal(
        value("wrapping", "key"), value("wrapping", "wrapped"), f"{DOMAIN}\0{context}".encode()
    )
    content = json.loads(plain)
    assert content == json.loads(FOUND["wrapping"]["plain"])
    assert bytes.fromhex(content["data_key"]) == DATA_KEY
    assert bytes.fromhex(content["id_key"]) == ID_KEY
    assert re.fullmatch(rf"emberkeep/1 domain key [0-9a-f]{{32}} {DOMAIN} 7", context)


def test_format_is_authenticated() -> None:
    text = FOUND["format"]["object"]
    objects = {
        "format": text.encode(),
        FOUND["format"]["key's name"]: value("format", "key's object"),
    }
    opened = PlainRepository(objects, value("format", "key"))
    content = json.loads(text)
    mac = content.pop("mac")
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    secret = derive(opened.metadata_key, b"format")
    assert hmac.new(secret, canonical, hashlib.sha256).hexdigest() == mac


@pytest.mark.parametrize(("index", "codec"), [(2, 0), (3, 1)])
def test_a_record_is_opened(index: int, codec: int) -> None:
    stored = value("records", f"stored, {index}")
    assert stored[0] == codec
    assert value("records", f"nonce, {index}") == struct.pack(">QI", 5, index)
    assert open_record(KEYS["record"], CHUNK, 5, index, stored) == CONTENT
    frame = value("records", "zstd frame")
    assert zstandard.ZstdDecompressor().decompress(frame) == CONTENT
    assert len(stored) == len(frame if codec else CONTENT) + 17


def test_an_ids_record_lists_chunks() -> None:
    assert parse_ids(value("ids", "content")) == {
        0: (3, identify(ID_KEY, b"one")),
        1: (900, identify(ID_KEY, b"two")),
    }


class Opened(PlainDomain):
    """A domain with the examples' keys."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self._objects, self._domain = objects, DOMAIN
        self._metadata_key, self.data_keys, self.id_key = METADATA_KEY, {7: DATA_KEY}, ID_KEY


def test_a_segment_is_read_whole() -> None:
    labels = ("header", "records", "sealed footer", "trailer")
    data = b"".join(value("segment", label) for label in labels)
    name = FOUND["segment"]["name"]
    opened = Opened({name: data})
    opened.check_segment(name)
    volume, key, rows = parse_footer(value("segment", "footer"))
    assert (volume, key, rows) == opened.segment(name)
    assert (volume, key, [row.kind for row in rows]) == ("vol-1", 7, [CHUNK, NODE, IDS])
    sealed = value("segment", "sealed footer")
    trailer = struct.unpack("<8sII", value("segment", "trailer"))
    assert trailer == (b"EMBRKEND", len(sealed), google_crc32c.value(sealed))
    chunk, node, _ids = rows
    stored = data[chunk.offset :][: chunk.length]
    assert open_record(KEYS["record"], CHUNK, 5, 0, stored) == CONTENT
    stored = data[node.offset :][: node.length]
    leaf = parse_node(open_record(KEYS["node"], NODE, 5, 1, stored))
    (pointer,) = leaf.pointers.values()
    assert (pointer.session, pointer.seq, pointer.index) == (SESSION, 5, 0)
    assert (pointer.offset, pointer.length) == (chunk.offset, chunk.length)
    digest = identify(ID_KEY, bytes(48) + identify(ID_KEY, CONTENT) + bytes(252 * 16))
    assert (list(leaf.pointers), leaf.digest) == ([3], digest)


@pytest.mark.parametrize(("name", "height"), [("leaf", 1), ("inner-node", 2)])
def test_a_node_points_where_the_document_says(name: str, height: int) -> None:
    node = parse_node(value(name, "content"))
    assert node.height == height
    said = {
        f"slot {slot}": f"{pointer.session[:8]}…, key {pointer.key}, seq {pointer.seq}, "
        f"index {pointer.index}, offset {pointer.offset}, length {pointer.length}"
        for slot, pointer in node.pointers.items()
    }
    assert said == {label: text for label, text in FOUND[name].items() if label != "content"}
    if height > 1:
        digests = b"".join(node.digests.get(slot, bytes(16)) for slot in range(256))
        assert identify(ID_KEY, digests) == node.digest
        assert node.digests[0] == parse_node(value("leaf", "content")).digest


def test_a_root_is_read() -> None:
    opened = Opened({FOUND["root"]["name"]: value("root", "object")})
    (root,) = opened.roots()
    assert root == SESSION
    assert opened.root(root).layout == json.loads(FOUND["root"]["layout"])
    assert opened.root(root).description == json.loads(FOUND["root"]["description"])


@pytest.mark.parametrize("example", ["gens", "checkpoint", "bad"])
def test_a_sealed_object_opens_under_its_name(example: str) -> None:
    name = FOUND[example]["name"]
    opened = Opened({name: value(example, "object")})
    assert opened.object(name) == json.loads(FOUND[example]["plain"])
    renamed = Opened({name + "0": value(example, "object")})
    with pytest.raises(InvalidTag):
        renamed.object(name + "0")


def test_a_checkpoints_open_nodes_are_nodes() -> None:
    ((number, text),) = json.loads(FOUND["checkpoint"]["plain"])["open"]
    node = parse_node(base64.b64decode(text))
    assert (number, node.height, list(node.pointers), node.digest) == (0, 2, [0], bytes(16))


def test_a_checkpoint_has_samples_for_hints() -> None:
    saved = json.loads(FOUND["checkpoint"]["plain"])
    hints = parse_hints(base64.b64decode(saved["samples"]))
    assert hints == parse_hints(value("hints", "plain"))
    assert saved["pins"][0] in {session for session, _seq in hints.values()}


def test_hints_lead_to_segments() -> None:
    name = FOUND["hints"]["name"]
    plain = Opened({name: value("hints", "object")}).unsealed(name)
    assert plain == value("hints", "plain")
    for first, (session, seq) in parse_hints(plain).items():
        assert first[0] < 2
        assert FOUND["hints"][f"id {first.hex()[:8]}…"] == f"{session[:8]}…, seq {seq}"


def test_that_keys_were_destroyed_is_sealed() -> None:
    name = FOUND["destroyed"]["name"]
    assert Opened({name: value("destroyed", "object")}).unsealed(name) == b""


def test_an_exported_key_is_read() -> None:
    heading, letters = FOUND["key-text"]["text"][:24], FOUND["key-text"]["text"][24:]
    assert heading == "emberkeep key, version 1"
    packed = "".join(letters.split())
    content = base64.b32decode(packed + "=" * (-len(packed) % 8))
    assert hashlib.sha256(content[:-4]).digest()[:4] == content[-4:]
    assert content[:-4] == b"\x01" + value("key-text", "key")


def test_the_engine_writes_them_as_they_are_but_for_zstd() -> None:
    for name in FOUND.keys() - {"records", "segment"}:
        assert examples.EXAMPLES[name]() == FOUND[name], name
    made = examples.EXAMPLES["segment"]()
    for label in ("name", "header", "records"):
        assert made[label][:600] == FOUND["segment"][label][:600]
    assert a_key_manager().export_text().split() == FOUND["key-text"]["text"].split()

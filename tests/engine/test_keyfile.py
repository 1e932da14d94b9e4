import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emberkeep.engine.errors import WrongKey
from emberkeep.engine.keyfile import BadKeyText, KeyFile
from emberkeep.testing.engine import a_key_manager


def test_a_key_file_is_private_and_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "key"
    KeyFile.create(path)
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        KeyFile.create(path)


def test_what_one_loading_wrapped_another_unwraps(tmp_path: Path) -> None:
    wrapped = KeyFile.create(tmp_path / "key").wrap(b"secret", domain="d", context=b"c")
    assert KeyFile.load(tmp_path / "key").unwrap(wrapped, domain="d", context=b"c") == b"secret"


@pytest.mark.parametrize(("domain", "context"), [("e", b"c"), ("d", b"x"), (None, b"dc")])
def test_a_wrapped_key_is_bound_to_its_domain_and_context(
    domain: str | None, context: bytes
) -> None:
    keys = a_key_manager()
    wrapped = keys.wrap(b"secret", domain="d", context=b"c")
    with pytest.raises(WrongKey):
        keys.unwrap(wrapped, domain=domain, context=context)


@pytest.mark.parametrize(
    "content",
    ["", "{}", "[]", '{"key": 1}', '{"key": "xy"}', '{"key": "aabb", "title": "emberkeep key"}'],
)
def test_what_is_no_key_file_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "key").write_text(content)
    with pytest.raises(WrongKey, match="emberkeep key import"):
        KeyFile.load(tmp_path / "key")


def test_a_missing_key_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(WrongKey, match="bring it back: emberkeep key import"):
        KeyFile.load(tmp_path / "key")


@pytest.mark.parametrize("passphrase", [None, "correct horse"])
def test_an_exported_key_is_the_same_key(tmp_path: Path, passphrase: str | None) -> None:
    keys = a_key_manager()
    wrapped = keys.wrap(b"secret", domain="d", context=b"c")
    typed = keys.export_text(passphrase).lower().replace("\n", "\r\n") + "\n"
    imported = KeyFile.import_text(typed, tmp_path / "key", passphrase)
    assert imported.unwrap(wrapped, domain="d", context=b"c") == b"secret"
    assert (tmp_path / "key").exists()


def test_a_passphrase_is_needed_and_must_be_right(tmp_path: Path) -> None:
    text = a_key_manager().export_text("correct horse")
    for passphrase in (None, "", "wrong"):
        with pytest.raises(BadKeyText, match="passphrase"):
            KeyFile.import_text(text, tmp_path / "key", passphrase)
    assert not (tmp_path / "key").exists()


def test_the_text_under_a_passphrase_does_not_hold_the_key() -> None:
    keys = a_key_manager()
    plain = keys.export_text().splitlines()[1]
    assert plain not in keys.export_text("correct horse")


@given(st.data())
def test_a_typing_error_is_noticed(data: st.DataObject) -> None:
    text = a_key_manager().export_text()
    place = data.draw(st.integers(0, len(text) - 2).filter(lambda n: not text[n].isspace()))
    letter = data.draw(st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567!"))
    typed = text[:place] + letter + text[place + 1 :]
    if typed.upper() == text.upper():
        return
    with pytest.raises(BadKeyText):
        KeyFile.import_text(typed, Path("/nonexistent/key"))


@given(st.integers(0, 100))
def test_a_cut_text_is_noticed(cut: int) -> None:
    text = a_key_manager().export_text().rstrip()
    with pytest.raises(BadKeyText):
        KeyFile.import_text(text[: max(0, len(text) - 1 - cut)], Path("/nonexistent/key"))


def test_a_passphrase_is_the_same_however_it_is_composed(tmp_path: Path) -> None:
    text = a_key_manager().export_text("gr\u00f6\u00dfe")
    KeyFile.import_text(text, tmp_path / "key", "gro\u0308\u00dfe")


@pytest.mark.parametrize("title", ["emberkeep key, version 12", "emberkeep key", "a key"])
def test_a_text_of_another_version_is_refused(tmp_path: Path, title: str) -> None:
    text = a_key_manager().export_text().replace("emberkeep key, version 1", title)
    with pytest.raises(BadKeyText, match="version known here"):
        KeyFile.import_text(text, tmp_path / "key")


# Rotation.


def wrapped_by(keys: KeyFile) -> bytes:
    return keys.wrap(b"secret", domain="d", context=b"c")


def opens(keys: KeyFile, wrapped: bytes) -> bool:
    try:
        return keys.unwrap(wrapped, domain="d", context=b"c") == b"secret"
    except WrongKey:
        return False


def test_during_a_rotation_the_new_key_wraps_and_both_unwrap(tmp_path: Path) -> None:
    path = tmp_path / "key"
    old = wrapped_by(KeyFile.create(path))
    rotated = KeyFile.begin_rotation(path)
    new = wrapped_by(rotated)
    for keys in (rotated, KeyFile.load(path)):
        assert opens(keys, old)
        assert opens(keys, new)
        assert opens(keys.newest, new)
        assert not opens(keys.newest, old)
    assert path.stat().st_mode & 0o777 == 0o600


def test_after_a_rotation_the_file_holds_the_new_key_alone(tmp_path: Path) -> None:
    path = tmp_path / "key"
    old = wrapped_by(KeyFile.create(path))
    new = wrapped_by(KeyFile.begin_rotation(path))
    KeyFile.end_rotation(path)
    assert opens(KeyFile.load(path), new)
    assert not opens(KeyFile.load(path), old)
    assert json.loads(path.read_text()).keys() == {"title", "version", "key"}
    assert list(tmp_path.iterdir()) == [path]
    KeyFile.end_rotation(path)
    assert opens(KeyFile.load(path), new)


def test_a_rotation_that_was_interrupted_goes_on_with_its_key(tmp_path: Path) -> None:
    path = tmp_path / "key"
    KeyFile.create(path)
    wrapped = wrapped_by(KeyFile.begin_rotation(path))
    before = path.read_bytes()
    assert opens(KeyFile.begin_rotation(path).newest, wrapped)
    assert path.read_bytes() == before


def test_a_rotation_that_died_while_it_wrote_left_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "key"
    old = wrapped_by(KeyFile.create(path))
    path.with_name("key.new").write_text("half")
    assert opens(KeyFile.load(path), old)
    assert opens(KeyFile.begin_rotation(path), old)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("passphrase", [None, "correct horse"])
def test_both_keys_of_a_rotation_are_exported(tmp_path: Path, passphrase: str | None) -> None:
    path, other = tmp_path / "key", tmp_path / "imported"
    old = wrapped_by(KeyFile.create(path))
    rotated = KeyFile.begin_rotation(path)
    text = rotated.export_text(passphrase)
    assert text.startswith("emberkeep key, version 2")
    imported = KeyFile.import_text(text, other, passphrase)
    assert opens(imported, old)
    assert opens(imported.newest, wrapped_by(rotated))
    assert json.loads(other.read_text()) == json.loads(path.read_text())
    KeyFile.end_rotation(path)
    assert KeyFile.load(path).export_text().startswith("emberkeep key, version 1\n")


@pytest.mark.parametrize("earlier", ["key", [5], ["aabb"], 7, {"a": 1}])
def test_a_file_whose_earlier_keys_are_none_is_refused(tmp_path: Path, earlier: object) -> None:
    path = tmp_path / "key"
    KeyFile.create(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), "earlier": earlier}))
    with pytest.raises(WrongKey, match="emberkeep key import"):
        KeyFile.load(path)

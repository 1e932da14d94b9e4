"""What every store must do: inherit `StoreConformance`, give a fixture `store`, and run pytest."""

import threading

import pytest

from emberkeep.stores.base import Store, StoredObject
from emberkeep.stores.errors import InvalidName, ObjectExists, ObjectNotFound


class StoreConformance:
    """The contract of `stores.base`, as tests; each needs an empty `store`."""

    def test_what_was_put_is_read_back(self, store: Store) -> None:
        for data in (b"", b"x", bytes(range(256)) * 1000):
            name = f"d/{len(data)}"
            store.put(name, data)
            assert store.get(name) == data
            assert store.stat(name) == StoredObject(name, len(data))

    def test_any_buffer_can_be_put(self, store: Store) -> None:
        store.put("a", bytearray(b"abc"))
        store.put("b", memoryview(b"xabcx")[1:4])
        assert store.get("a") == store.get("b") == b"abc"

    def test_a_name_is_never_overwritten(self, store: Store) -> None:
        store.put("d/name", b"first")
        with pytest.raises(ObjectExists):
            store.put("d/name", b"other")
        assert store.get("d/name") == b"first"

    def test_the_same_bytes_may_be_put_again(self, store: Store) -> None:
        store.put("d/name", b"first")
        store.put("d/name", bytearray(b"first"))
        assert store.get("d/name") == b"first"

    @pytest.mark.parametrize(
        ("offset", "length", "wanted"),
        [
            (0, None, b"0123456789"),
            (3, None, b"3456789"),
            (3, 4, b"3456"),
            (3, 0, b""),
            (8, 100, b"89"),
            (10, None, b""),
            (50, 3, b""),
            (-3, None, b"789"),
            (-3, 2, b"78"),
            (-100, None, b"0123456789"),
        ],
    )
    def test_ranges(self, store: Store, offset: int, length: int | None, wanted: bytes) -> None:
        store.put("object", b"0123456789")
        assert store.get("object", offset=offset, length=length) == wanted

    def test_what_is_not_there_is_not_found(self, store: Store) -> None:
        store.put("d/there", b"x")
        for name in ("missing", "d", "d/there/below", "d/missing"):
            with pytest.raises(ObjectNotFound):
                store.get(name)
            with pytest.raises(ObjectNotFound):
                store.stat(name)

    def test_deleting_removes_and_may_be_repeated(self, store: Store) -> None:
        store.put("d/name", b"x")
        store.delete("d/name")
        store.delete("d/name")
        store.delete("never/there")
        with pytest.raises(ObjectNotFound):
            store.get("d/name")
        assert list(store.list("")) == []

    def test_a_listing_is_by_prefix_and_in_order(self, store: Store) -> None:
        names = ["a", "a-b/c", "a/b", "a/b.0", "a/b/c", "a/bc", "a0", "b/x/y", "b/x/z", "c"]
        for name in reversed([name for name in names if name not in ("a", "a/b")]):
            store.put(name, name.encode())
        kept = sorted(name for name in names if name not in ("a", "a/b"))
        for prefix in ("", "a", "a/", "a/b", "a/bc", "b/x/", "b/x/y", "zz", "b/x/y/z"):
            found = [item.name for item in store.list(prefix)]
            assert found == [name for name in kept if name.startswith(prefix)]
        assert next(iter(store.list("c"))).size == 1

    @pytest.mark.parametrize(
        "name",
        ["", "/", "/a", "a/", "a//b", "../a", "a/../b", ".a", "a/.b", "A", "ä", "a b", "a\n"],
    )
    def test_other_names_are_refused(self, store: Store, name: str) -> None:
        for refused in (
            lambda: store.put(name, b"x"),
            lambda: store.get(name),
            lambda: store.stat(name),
            lambda: store.delete(name),
        ):
            with pytest.raises(InvalidName):
                refused()

    def test_of_many_putting_one_name_one_wins(self, store: Store) -> None:
        barrier = threading.Barrier(8)
        winners: list[bytes] = []

        def put(data: bytes) -> None:
            barrier.wait()
            try:
                store.put("d/contested", data)
            except ObjectExists:
                return
            winners.append(data)

        threads = [threading.Thread(target=put, args=(bytes([n]) * 9999,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert winners == [store.get("d/contested")]

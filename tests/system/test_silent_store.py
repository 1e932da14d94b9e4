"""A zone whose store does not answer takes no other zone along, and is served when it does."""

from pathlib import Path

import pytest
from tests.stores.fake_s3 import Answer, FakeS3
from tests.system.service import QUICK, Service, serving, until

CONFIGURATION = """[availability_zones]
enabled = az1, vault
[zone:vault]
volumes = none
repository = {url}
store_access_key = a
store_secret_key = b
store_settles_within = 0
"""


def status_of_a_backup(service: Service, volume_id: str, zone: str) -> str:
    asked = {"backup": {"volume_id": volume_id, "availability_zone": zone}}
    backup_id = service.call("POST", "/backups", asked).body["backup"]["id"]
    until(lambda: service.backup(backup_id)["status"] != "creating", "an end of the backup")
    return str(service.backup(backup_id)["status"])


@pytest.mark.slow
def test_a_silent_store_is_waited_for_while_other_zones_work(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    with FakeS3() as store:
        # Before a key is made each store is asked; then come two looks, each with a repetition.
        store.next(store.do, *[Answer(503)] * 4, method="HEAD")
        (state / "emberkeep.conf").write_text(QUICK + CONFIGURATION.format(url=store.url))
        with serving(state) as service:
            asked = {"volume": {"size": 1, "availability_zone": "az1"}}
            volume_id = service.call("POST", "/volumes", asked).body["volume"]["id"]
            until(lambda: service.volume(volume_id)["status"] == "available", "a volume")
            assert status_of_a_backup(service, volume_id, "az1") == "available"
            assert "zone vault is not served until its store answers" in service.log()
            services = "//emberkeep/v1/zones"

            def vault_is_up() -> bool:
                zones = service.call("GET", services).body["zones"]
                return any(zone["name"] == "vault" and zone["up"] for zone in zones)

            until(vault_is_up, "service in zone vault")
            assert status_of_a_backup(service, volume_id, "vault") == "available"
            assert any("/r/" in name for name in store.objects)

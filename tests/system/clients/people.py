"""Clients of somebody in a project, without Keystone: whoever says so is the operator."""

from pathlib import Path

import yaml
from tests.system.clients import programs
from tests.system.clients.page import Listing
from tests.system.clients.programs import OPENSTACK, Client
from tests.system.clients.stage import Project


def openstack_of(project: Project, home: Path, listing: Listing) -> Client:
    """Settings as the service's own clouds.yaml has them, but for another project."""
    endpoint = f"http://127.0.0.1:{project.service.port}/v3"
    cloud = {
        "auth_type": "admin_token",
        "auth": {"endpoint": endpoint, "token": f"operator:{project.id}"},
        "volume_api_version": "3",
        "volume_default_microversion": "3.71",
    }
    file = home / "clouds.yaml"
    file.write_text(yaml.safe_dump({"clouds": {"emberkeep": cloud}}))
    chosen = {"OS_CLIENT_CONFIG_FILE": str(file), "OS_CLOUD": "emberkeep"}
    return Client(OPENSTACK, chosen, home, listing.add)


def cinder_of(project: Project, home: Path, listing: Listing) -> Client:
    settings = {
        "OS_AUTH_TYPE": "noauth",
        "CINDER_ENDPOINT": f"http://127.0.0.1:{project.service.port}/v3",
        "OS_USER_ID": "operator",
        "OS_PROJECT_ID": project.id,
    }
    return Client(programs.cinder(), settings, home, listing.add)

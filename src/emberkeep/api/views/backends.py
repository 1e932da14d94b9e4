"""Volume back ends as JSON: what they can do, and how full their pools are."""

from typing import Any

import emberkeep
from emberkeep.volumes.pools import Pool, backend_of

UNKNOWN = "unknown"  # a capacity, in Cinder's word for it
VENDOR = "Open Source"  # what Cinder's own drivers say of themselves
PROTOCOL = "file"

_PROPERTIES = {
    "thin_provisioning": ("Thin Provisioning", "Sets thin provisioning."),
    "compression": ("Compression", "Enables compression."),
    "qos": ("QoS", "Enables QoS."),
    "replication_enabled": ("Replication", "Enables replication."),
}


def capabilities(host: str) -> dict[str, Any]:
    """Of the back end of the service at `host`."""
    return {
        "namespace": f"OS::Storage::Capabilities::{host}",
        "vendor_name": VENDOR,
        "volume_backend_name": backend_of(host),
        "pool_name": None,
        "driver_version": emberkeep.__version__,
        "storage_protocol": PROTOCOL,
        "display_name": None,
        "description": None,
        "visibility": None,
        "replication_targets": [],
        "properties": {
            name: {"title": title, "description": description, "type": "boolean"}
            for name, (title, description) in _PROPERTIES.items()
        },
    }


def pool(found: Pool) -> dict[str, Any]:
    return {
        "name": found.name,
        "capabilities": {
            "volume_backend_name": found.backend,
            "vendor_name": VENDOR,
            "driver_version": emberkeep.__version__,
            "storage_protocol": PROTOCOL,
            "total_capacity_gb": UNKNOWN,
            "free_capacity_gb": UNKNOWN,
            "reserved_percentage": 0,
            "QoS_support": False,
            "provisioned_capacity_gb": found.allocated_gib,
            "thin_provisioning_support": True,
            "thick_provisioning_support": False,
            "allocated_capacity_gb": found.allocated_gib,
            "filter_function": None,
            "goodness_function": None,
            "timestamp": found.heard_at.isoformat(timespec="microseconds"),
        },
    }

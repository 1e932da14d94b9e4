"""The version document: what discovery shows."""

from typing import Any

from emberkeep.api import microversions


def document(base: str) -> dict[str, Any]:
    """All versions there are: a list, wherever it is shown (openstacksdk parses the list)."""
    return {
        "versions": [
            {
                "id": "v3.0",
                "status": "CURRENT",
                "version": str(microversions.MAX),
                "min_version": str(microversions.MIN),
                "updated": "2023-08-31T00:00:00Z",
                "links": [
                    {
                        "rel": "describedby",
                        "type": "text/html",
                        "href": "https://docs.openstack.org/",
                    },
                    {"rel": "self", "href": f"{base}/v3/"},
                ],
                "media-types": [
                    {
                        "base": "application/json",
                        "type": "application/vnd.openstack.volume+json;version=3",
                    }
                ],
            }
        ]
    }

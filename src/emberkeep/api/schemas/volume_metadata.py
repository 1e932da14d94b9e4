"""What the bodies of requests about a volume's metadata look like."""

from emberkeep.api.microversions import MIN
from emberkeep.api.validation import METADATA, METADATA_ITEM, Schema, only

ALL = Schema({MIN: only({"metadata": METADATA}, required=("metadata",))})
ITEM = Schema({MIN: only({"meta": METADATA_ITEM}, required=("meta",))})

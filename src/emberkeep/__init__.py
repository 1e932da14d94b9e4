"""Emberkeep: block-storage backups behind Cinder's v3 Backups API."""

from importlib.metadata import version

__version__ = version("emberkeep")

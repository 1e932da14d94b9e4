"""Conformance suites and fakes, for writers of stores and volume drivers."""

"""The process that claims jobs within its reach and runs them."""

"""`python -m emberkeep` is `emberkeep`."""

from emberkeep.cli.main import main

main()

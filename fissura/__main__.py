"""`python -m fissura` is `fissura`."""

from fissura.cli import main

main()

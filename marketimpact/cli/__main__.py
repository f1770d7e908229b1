"""``python -m marketimpact.cli``: the command line without its script."""

from marketimpact.cli import main

main()

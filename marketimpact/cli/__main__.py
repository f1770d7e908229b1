"""``python -m marketimpact.cli``: the command line without its script."""

from marketimpact.cli import main

if __name__ == "__main__":
    main()

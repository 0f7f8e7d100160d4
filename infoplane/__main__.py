"""``python -m infoplane``: the same as the command ``infoplane``."""

from infoplane.cli.main import main

if __name__ == "__main__":
    main()

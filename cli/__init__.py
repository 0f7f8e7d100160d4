"""The sub-commands of the ``infoplane`` command line, one module each."""

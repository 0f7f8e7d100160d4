"""Files: runs of recorded activations and result documents."""

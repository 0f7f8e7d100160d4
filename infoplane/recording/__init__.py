"""The torch side: hook layers, load checkpoints, write runs."""

"""Information from sums over pairs of samples."""

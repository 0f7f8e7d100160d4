"""Sample runs: small, complete examples to copy."""

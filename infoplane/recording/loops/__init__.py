"""Recording from training loops of other libraries, and from unmodified scripts."""

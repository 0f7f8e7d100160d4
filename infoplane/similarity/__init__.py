"""How alike layers are: across a network, across training, across seeds and across models."""

"""How alike two representations of the same samples are: arrays in, numbers out."""

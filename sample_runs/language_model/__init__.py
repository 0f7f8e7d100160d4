"""A small GPT-like network on the help pages of Python."""

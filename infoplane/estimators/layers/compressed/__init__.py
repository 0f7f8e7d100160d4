"""Information of a layer through a low-dimensional code."""

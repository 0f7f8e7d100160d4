"""Small networks that are trained to compress a layer."""

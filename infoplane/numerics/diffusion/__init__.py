"""Diffusion kernels of point clouds and the entropy of their spectra."""

"""Information from distances to nearest neighbours."""

"""Critics of pairs: bounds of mutual information that networks, or normal laws, are fitted to."""

"""Information of discrete symbols, and the bins that make them."""

"""Estimators on data whose answer is known, to tell how far each can be trusted."""

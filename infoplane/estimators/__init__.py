"""Estimators by name, what they measure and what their estimates say."""

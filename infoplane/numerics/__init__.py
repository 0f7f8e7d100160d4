"""Arrays in, arrays or floats out: the mathematics behind the estimators."""

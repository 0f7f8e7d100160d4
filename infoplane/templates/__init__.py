"""Files that ``infoplane init`` writes."""

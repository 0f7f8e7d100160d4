"""JSON Schemas of the documents that infoplane writes."""

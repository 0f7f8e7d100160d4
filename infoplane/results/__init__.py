"""The results document: built, written, read, merged and interpreted."""

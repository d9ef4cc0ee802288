"""Other meanings of the same layers: namespaces that are handed to them in place of a library's."""

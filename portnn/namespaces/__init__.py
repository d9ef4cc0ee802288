"""Other meanings of the same layers: namespaces that they are handed in place of a library's."""

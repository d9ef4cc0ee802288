"""Networks of other libraries as portnn's, and the other way round: their layers, weights and optimizer states."""

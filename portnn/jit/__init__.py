"""Just-in-time compilation: records a step once as a graph, plans its memory, generates code, and replays it."""

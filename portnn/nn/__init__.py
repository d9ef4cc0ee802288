"""The vocabulary: what a network is made of. Add yours here, and its name to the table at the end of the file."""

"""Files: tables of named columns as they lie in them, and model files."""

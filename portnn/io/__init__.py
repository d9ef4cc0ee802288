"""Files: tables of named columns, and model files."""

"""The configuration: typed models, file reader, default paths and database URLs."""

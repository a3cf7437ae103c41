"""The configuration: typed models, paths and URLs."""

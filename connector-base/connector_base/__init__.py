"""Code that all connectors share; each package links this folder in as `base`."""

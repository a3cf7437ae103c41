"""A BigCommerce shop."""

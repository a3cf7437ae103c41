"""A BigCommerce shop's streams as contacts, products, orders, lines and payments."""

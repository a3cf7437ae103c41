"""The mapping `bigcommerce`: a shop's streams as contacts, products, orders, items and payments."""

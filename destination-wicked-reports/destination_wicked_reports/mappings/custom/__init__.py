"""Any stream to any endpoint, by JMESPath expressions."""

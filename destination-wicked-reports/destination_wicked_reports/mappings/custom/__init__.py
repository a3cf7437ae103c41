"""The mapping `custom`: any stream to any endpoint, by JMESPath expressions."""

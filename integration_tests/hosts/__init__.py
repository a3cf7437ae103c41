"""PyAirbyte, Meltano and airbyte-serverless: their environments and test cases."""

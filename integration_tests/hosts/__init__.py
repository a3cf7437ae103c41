"""PyAirbyte, Meltano and airbyte-serverless: their environments and what is run in them."""

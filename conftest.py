"""Plugins must be named at the root: the CDK's standard tests bring options of their own."""

pytest_plugins = ["airbyte_cdk.test.standard_tests.pytest_hooks"]

"""Plugins and hypothesis settings of every test."""

from hypothesis import settings

# How long an example takes depends on the machine, not on the code.
settings.register_profile("any_machine", deadline=None)
settings.load_profile("any_machine")

pytest_plugins = ["airbyte_cdk.test.standard_tests.pytest_hooks", "integration_tests.protocol.plugin"]

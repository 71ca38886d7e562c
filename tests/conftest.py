"""Settings for every test. Imports nothing of the package: jaxtyping must hook it first."""

from hypothesis import settings

# A busy machine makes an example slow without making it wrong.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

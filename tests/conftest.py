"""What all tests share."""

from hypothesis import settings

# how long an example takes says nothing on a shared machine
settings.register_profile("driftline", deadline=None)
settings.load_profile("driftline")

"""What holds for all tests."""

from hypothesis import settings

# A time limit on an example fails where the machine is busy, and says nothing about the code.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

"""One thread for everybody, before anything imports NumPy."""

from benchmarks import environment

environment.pin(1)

import hingefast  # noqa: E402, F401  # the installed one: pytest puts the project's root first for each file


def pytest_sessionstart() -> None:
    """Refuse to measure when some plugin imported NumPy before the pin above."""
    environment.check_pinned(1)

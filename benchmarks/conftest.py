"""One thread for everybody, before anything imports NumPy."""

from benchmarks import environment

environment.pin(1)


def pytest_sessionstart() -> None:
    """Refuse to measure when some plugin imported NumPy before the pin above."""
    environment.check_pinned(1)

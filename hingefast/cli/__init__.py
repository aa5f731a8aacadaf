"""The command ``hingefast``. The library imports nothing from here."""

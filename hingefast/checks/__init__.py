"""Every text that a caller can get: arguments converted or refused, and what a pass found wrong explained."""

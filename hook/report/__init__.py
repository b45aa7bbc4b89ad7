"""How it is told: the verification list, the notices and who hears them. Decides nothing."""

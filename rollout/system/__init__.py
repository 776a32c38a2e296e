"""Services of the system and of object stores: terminal, signals, files, locks, devices."""

"""Services of the operating system and of object stores: terminal, signals, files, locks, devices."""

"""Services of the operating system: terminal, signals, atomic files, locks, devices."""

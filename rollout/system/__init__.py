"""What the operating system gives: terminal, signals, exits, atomic files, locks, devices."""

"""What the operating system gives: terminal, signals, atomic files, locks, devices."""

"""Every setting, its checks, and the way from words typed to `Settings`."""

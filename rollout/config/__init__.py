"""Every setting and its checks, and the way from words typed to `Settings`."""

"""Every setting and its checks, and how typed words become `Settings`."""

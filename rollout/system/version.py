"""The version of this package, below everything that records it."""

VERSION = "0.1.0"

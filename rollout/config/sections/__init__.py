"""The settings of the stages, a section each."""

"""A directory to prepare prompts in."""

import pytest


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty directory, made the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path

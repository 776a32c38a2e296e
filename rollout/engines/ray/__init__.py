"""Engines as actors on a Ray cluster, behind the interface of engines/base.py.

The only folder that names Ray. The driver keeps rows, seeds and retries; an actor holds an engine.
"""

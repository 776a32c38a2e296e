"""Responses, marked: each scorer is a room."""

"""Scored rows, chosen and written as trainers read them."""

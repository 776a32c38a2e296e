"""After a run: responses are scored, and written as trainers read them."""

"""Files of prompts, made from whatever holds problems."""

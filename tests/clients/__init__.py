"""The snippets for apps and sticks, and what the how-tos say, held against the hub's own API."""

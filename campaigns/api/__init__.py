"""The API of events, rules, campaigns."""

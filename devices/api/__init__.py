"""The API of people, devices, segments and tokens."""

"""The sender of Web Push, for browsers that are asleep."""

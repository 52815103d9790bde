"""The demo: sample people in all the world, a fleet that stands in for their devices, and one campaign to them."""

"""The browser and TV client and the demo page, in a real Chromium."""

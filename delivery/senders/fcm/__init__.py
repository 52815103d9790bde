"""The sender of FCM."""

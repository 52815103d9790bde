"""A random plan of faults on the way to devices with a WebSocket: several nodes, real servers, real devices."""

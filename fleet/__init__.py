"""Stands in for the outside world: FCM, APNs and the devices, for the demo, the tests and the benchmarks."""

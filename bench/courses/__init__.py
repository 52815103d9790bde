"""What each benchmark does with a running hub; imported where Django's settings stand, by `bench.course`."""

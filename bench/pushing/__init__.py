"""What `bench push` is made of: the servers that hold WebSockets, the client that opens them, and the rounds."""

"""The server's ZeroMQ side: the command channel, its admission, the heartbeat broadcast."""

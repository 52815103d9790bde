"""The log in Cassandra: an app of its own, installed only when `settings.LOG_STORE` says so."""

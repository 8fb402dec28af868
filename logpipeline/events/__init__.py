"""Events: their definition, and the conversion of any log line into one."""

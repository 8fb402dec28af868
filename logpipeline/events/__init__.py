"""Events: what an event is, and any line of any log as one."""

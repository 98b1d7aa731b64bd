"""For programs that send messages: asynchronous, and a thin synchronous one."""

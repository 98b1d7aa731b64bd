"""`/v1/*`: OpenAI's wire, exactly."""

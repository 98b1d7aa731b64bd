"""OpenAI's requests, answers, errors and streams: types and codecs."""

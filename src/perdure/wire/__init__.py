"""OpenAI's requests, answers, errors and streams: types and codecs, and nothing that sends."""

"""The server: one model for many clients, through the OpenAI protocol, uploads, and a page in the browser."""

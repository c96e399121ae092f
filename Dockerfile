# The server on a CPU, with nano's weights inside: docker compose up, then http://localhost:8000
FROM python:3.12-slim

COPY --from=ghcr.io/astral-sh/uv:0.9 /uv /usr/local/bin/uv
WORKDIR /app
ENV UV_COMPILE_BYTECODE=1 UV_NO_CACHE=1 PATH=/app/.venv/bin:$PATH

# The libraries first: they change less often than the code. Only those of reading and serving; ONNX Runtime runs the model.
COPY pyproject.toml README.md LICENSE ./
RUN uv venv && uv pip install -r pyproject.toml --extra serve
COPY nanochat nanochat
COPY models models
RUN uv pip install --no-deps -e . && useradd --uid 1000 reader

USER reader
EXPOSE 8000
HEALTHCHECK --start-period=60s --interval=10s CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/ready')"]
# In a container the port is reached from outside by definition; give NANO_OCR_API_KEY where others can reach it.
CMD ["nano-ocr", "serve", "--host", "0.0.0.0"]

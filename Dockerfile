# The server on a CPU, with nano's weights inside: docker compose up, then http://localhost:8000
FROM python:3.12-slim AS build

COPY --from=ghcr.io/astral-sh/uv:0.9 /uv /usr/local/bin/uv
WORKDIR /app
ENV UV_NO_CACHE=1 UV_PYTHON_DOWNLOADS=never

# The libraries first: they change less often than the code. Only those of reading and serving, as in uv.lock.
COPY pyproject.toml uv.lock README.md LICENSE CHANGELOG.md ./
RUN uv sync --frozen --no-default-groups --extra serve --no-install-project
COPY nanochat nanochat
COPY models models
RUN uv sync --frozen --no-default-groups --extra serve --no-editable

# What the server never opens, 50 MB: tests, tools, headers, and ONNX Runtime's library for C programs.
RUN cd .venv/lib/python3.12/site-packages \
    && rm -r onnxruntime/transformers onnxruntime/tools onnxruntime/quantization onnxruntime/datasets \
             onnxruntime/capi/libonnxruntime.so.* \
    && find numpy -type d -name tests -prune -exec rm -r {} + \
    && find . -name '*.pyi' -delete -o -name '*.a' -delete

# What was installed, without uv and the sources.
FROM python:3.12-slim
COPY --from=build /app/.venv /app/.venv
ENV PATH=/app/.venv/bin:$PATH
RUN useradd --uid 1000 reader

USER reader
EXPOSE 8000
HEALTHCHECK --start-period=60s --interval=10s CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/ready')"]
# In a container the port is reached from outside by definition; give NANO_OCR_API_KEY where others can reach it.
CMD ["nano-ocr", "serve", "--host", "0.0.0.0"]

# Serves a network on the CPU. Build the wheel first: `python -m build --wheel`; see docs/deploy.md.
#
#     docker build -t fusionkit --build-arg TORCH_INDEX=URL .
#     docker run --rm --read-only --tmpfs /tmp --tmpfs /dev/shm:size=2g -p 127.0.0.1:8000:8000 \
#         -e FUSIONKIT_TOKEN -v "$PWD/exported:/network:ro" fusionkit
FROM python:3.12-slim

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 MPLCONFIGDIR=/tmp
COPY dist/fusionkit-*.whl /wheels/
# Where PyTorch's builds for the CPU are: a tenth of the size of those for GPUs, which come without it.
ARG TORCH_INDEX=
RUN set -- /wheels/fusionkit-*.whl \
    && if [ "$#" -ne 1 ]; then echo "dist/ must hold one wheel of fusionkit, and holds $#" >&2; exit 1; fi \
    && python -m pip install ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} "torch>=2.10" \
    && python -m pip install "$1[serve,export,dicom,nifti]" \
    && rm -r /wheels \
    && useradd --create-home --uid 10001 fusionkit
USER fusionkit
EXPOSE 8000
# A token is required here: the server refuses to listen to other machines without one.
ENTRYPOINT ["fusionkit", "serve", "--host", "0.0.0.0"]
CMD ["/network"]
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD ["python", "-c", \
    "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health', timeout=4)"]

# Daybook with the cluster profile, and the two servers that are shipped as source. The versions are
# those of infra/versions.toml; a test compares them.
#
#   docker build --target daybook -t daybook .

ARG RUST_IMAGE=rust:1.95.0-slim-bookworm
ARG GOLANG_IMAGE=golang:1.26.8-bookworm
ARG RUNTIME_IMAGE=debian:12.11-slim

# --- builds -------------------------------------------------------------------------------------

FROM ${RUST_IMAGE} AS build-daybook
RUN apt-get update \
    && apt-get install -y --no-install-recommends build-essential cmake libssl-dev perl pkg-config \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /daybook
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/daybook/target \
    cargo build --release --locked --package daybook --features cluster \
    && install -D target/release/daybook /out/daybook

FROM ${GOLANG_IMAGE} AS build-bigtable
ARG BIGTABLE_VERSION=v1.58.0
RUN CGO_ENABLED=0 GOBIN=/out go install cloud.google.com/go/bigtable/cmd/emulator@${BIGTABLE_VERSION}

FROM ${GOLANG_IMAGE} AS build-minio
ARG MINIO_VERSION=v0.0.0-20260212201848-7aac2a2c5b7c
RUN CGO_ENABLED=0 GOBIN=/out go install -ldflags="-s -w" github.com/minio/minio@${MINIO_VERSION}

# --- what runs ----------------------------------------------------------------------------------

FROM ${RUNTIME_IMAGE} AS runtime
# curl asks the health pages; libssl3 is what librdkafka speaks TLS with.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates curl libssl3 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 7420 --user-group --create-home --home-dir /var/lib/daybook daybook
USER daybook
WORKDIR /var/lib/daybook

FROM runtime AS bigtable
COPY --from=build-bigtable /out/emulator /usr/local/bin/bigtable-emulator
EXPOSE 8086
ENTRYPOINT ["bigtable-emulator", "-host", "0.0.0.0", "-port", "8086"]

FROM runtime AS minio
COPY --from=build-minio /out/minio /usr/local/bin/minio
RUN mkdir /var/lib/daybook/objects
VOLUME /var/lib/daybook/objects
EXPOSE 9000
ENTRYPOINT ["minio", "server", "--quiet", "--address", ":9000", "/var/lib/daybook/objects"]

FROM runtime AS daybook
COPY --from=build-daybook /out/daybook /usr/local/bin/daybook
RUN mkdir /var/lib/daybook/daybook-data
VOLUME /var/lib/daybook/daybook-data
EXPOSE 7420 7421
ENTRYPOINT ["daybook"]
CMD ["serve", "--listen", "0.0.0.0:7420", "--operations-listen", "0.0.0.0:7421"]
